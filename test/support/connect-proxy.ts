// An HTTP proxy as companies have it: it connects to expected hosts by CONNECT, and refuses everything else.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createSecureContext, TLSSocket } from "node:tls";
import { makeCertificate } from "./certificate.ts";
import type { Endpoint } from "../local/settings.ts";

const localhost = "127.0.0.1";

/** A running proxy. It is the only way to its hosts, whose names nothing else resolves, and it speaks TLS for them. */
export class ConnectProxy {
  /** The certificate that it, or the servers behind it, present. */
  readonly ca: string;
  /** The `HOST:PORT` of each tunnel. */
  readonly tunnels: string[] = [];
  /** What was refused: method and target. */
  readonly refused: string[] = [];
  /** Whether it accepts connections and never answers. */
  isMute = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(hosts: readonly string[], upstream: Endpoint, certificate: { cert: string; key: string }) {
    this.ca = certificate.cert;
    const secureContext = createSecureContext(certificate);
    this.#server = createServer((request, response) => {
      this.refused.push(`${String(request.method)} ${String(request.url)}`);
      response.writeHead(405).end();
    });
    this.#server.on("connect", (request: IncomingMessage, socket: Duplex) => {
      if (this.isMute) return;
      const target = String(request.url);
      if (!hosts.includes(target)) {
        this.refused.push(`CONNECT ${target}`);
        socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
        return;
      }
      this.tunnels.push(target);
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      const client = new TLSSocket(socket, { isServer: true, secureContext });
      const server = connect(upstream.port, upstream.address);
      // Either side may end a tunnel at any time, and with it the other.
      client.on("error", () => server.destroy()).on("close", () => server.destroy());
      server.on("error", () => client.destroy()).on("close", () => client.destroy());
      client.pipe(server).pipe(client);
    });
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  /** Starts a proxy to these `HOST:PORT`, all of which are the server at `upstream`, which speaks plain HTTP. */
  static async start(hosts: readonly string[], upstream: Endpoint): Promise<ConnectProxy> {
    const certificate = await makeCertificate(...hosts.map((one) => String(one.split(":")[0])));
    const proxy = new ConnectProxy(hosts, upstream, certificate);
    proxy.#server.listen(0, localhost);
    await once(proxy.#server, "listening");
    return proxy;
  }

  /** The proxy's URL, `http://HOST:PORT`. */
  get url(): string {
    return `http://${localhost}:${String((this.#server.address() as AddressInfo).port)}`;
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Ends the proxy and all its connections. */
  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
