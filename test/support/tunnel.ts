// An HTTP proxy that connects to any host by CONNECT, as a kubeconfig's proxy-url names one.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";

const localhost = "127.0.0.1";

/** A running proxy. */
export class Tunnel {
  /** The `HOST:PORT` of each tunnel. */
  readonly targets: string[] = [];
  readonly #server: Server = createServer((_, response) => void response.writeHead(405).end());
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server.on("connect", (request: IncomingMessage, client: Duplex) => {
      const target = String(request.url);
      this.targets.push(target);
      const [, host = "", port = ""] = /^\[?([^\]]+)\]?:(\d+)$/.exec(target) ?? [];
      const server = connect(Number(port), host, () => {
        client.write("HTTP/1.1 200 Connection established\r\n\r\n");
        client.pipe(server).pipe(client);
      });
      // Either side may end a tunnel at any time, and with it the other.
      client.on("error", () => server.destroy()).on("close", () => server.destroy());
      server.on("error", () => client.destroy()).on("close", () => client.destroy());
    });
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  /** Starts a proxy; on any free port by default. */
  static async start(port = 0): Promise<Tunnel> {
    const tunnel = new Tunnel();
    tunnel.#server.listen(port, localhost);
    await once(tunnel.#server, "listening");
    return tunnel;
  }

  /** The proxy's URL, `http://HOST:PORT`. */
  get url(): string {
    return `http://${localhost}:${String(this.port)}`;
  }

  /** The proxy's port. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends the proxy and all its connections. */
  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
