// A reverse proxy between the helper and a server, into which a test injects faults at run time.
import { once } from "node:events";
import {
  Agent as PlainAgent,
  createServer,
  request as plainRequest,
  type IncomingMessage,
  type RequestOptions,
  type Server,
  type ServerResponse,
} from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import { Agent as SecureAgent, request as secureRequest } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { makeCertificate } from "./certificate.ts";
import { forwarded, pass, type ReceivedRequest, type Exchange, type Fault } from "./fault.ts";

/** Whether a fault applies to a request. */
export type RequestMatcher = (request: ReceivedRequest) => boolean;

/** An injected fault. */
export interface InjectedFault {
  /** The arrival of each request that it was applied to, in milliseconds since 1970. */
  readonly hits: readonly number[];
  /** Resolves when it has been applied to `count` requests; rejects after a minute. */
  reached(count: number): Promise<void>;
  /** Removes the fault. */
  lift(): void;
}

interface Rule {
  readonly matches: RequestMatcher;
  readonly fault: Fault;
  /** How many more requests it applies to. */
  remaining: number;
  readonly hits: number[];
  /** Callbacks of `reached`, called with whether its time limit has passed. */
  readonly waiting: Set<(isLate: boolean) => void>;
}

/** The server behind a proxy. */
export interface ProxyOptions {
  /** The server's URL, `http://HOST:PORT` or `https://HOST:PORT`; the proxy uses the same protocol. */
  readonly upstream: string;
  /** The certificates, in PEM, that the upstream's certificate is verified with. */
  readonly ca?: string;
}

type Incoming = IncomingMessage | Http2ServerRequest;
type Outgoing = ServerResponse | Http2ServerResponse;

const address = "127.0.0.1";
/** Long, because the machine may be busy with other tests. */
const reachTimeoutMs = 60_000;

/** A running proxy. It forwards every request to which no fault applies. */
export class Proxy {
  /** The certificate, in PEM, that clients verify the proxy with; empty over plain HTTP. */
  readonly ca: string;
  readonly #upstream: string;
  readonly #server: Server;
  readonly #agent: PlainAgent | SecureAgent;
  readonly #sockets = new Set<Socket>();
  readonly #exchanges = new Set<Exchange>();
  #rules: readonly Rule[] = [];
  #port = 0;

  private constructor({ upstream, ca }: ProxyOptions, certificate?: { cert: string; key: string }) {
    [this.#upstream, this.ca] = [upstream, certificate?.cert ?? ""];
    const handle = (incoming: Incoming, outgoing: Outgoing): void => void this.#handle(incoming, outgoing);
    this.#agent =
      certificate === undefined ? new PlainAgent({ keepAlive: true }) : new SecureAgent({ keepAlive: true, ca });
    // Clients may use HTTP/2; both kinds of server have the methods that are used here.
    this.#server =
      certificate === undefined
        ? createServer(handle)
        : (createSecureServer({ ...certificate, allowHTTP1: true }, handle) as unknown as Server);
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    // A client may close its connection at any time.
    this.#server.on("sessionError", () => undefined);
  }

  /** Starts a proxy that forwards everything. */
  static async start(options: ProxyOptions): Promise<Proxy> {
    const secure = options.upstream.startsWith("https:");
    const proxy = new Proxy(options, secure ? await makeCertificate(address) : undefined);
    await proxy.listen();
    return proxy;
  }

  /** The proxy's own URL, `http://HOST:PORT` or `https://HOST:PORT`. */
  get url(): string {
    return `${this.#upstream.split(":")[0] ?? ""}://${address}:${String(this.#port)}`;
  }

  /** Injects a fault into all matching requests, or the first `times`. If several faults match, the latest one applies. */
  inject(matches: RequestMatcher, fault: Fault, times = Infinity): InjectedFault {
    const rule: Rule = { matches, fault, remaining: times, hits: [], waiting: new Set() };
    this.#rules = [rule, ...this.#rules];
    const reached = async (count: number): Promise<void> => {
      const late = setTimeout(() => rule.waiting.forEach((wake) => wake(true)), reachTimeoutMs);
      for (let isLate = false; rule.hits.length < count;) {
        if (isLate)
          throw new Error(`${String(rule.hits.length)} of ${String(count)} requests in ${String(reachTimeoutMs)} ms`);
        isLate = await new Promise<boolean>((wake) => rule.waiting.add(wake));
      }
      clearTimeout(late);
    };
    return { hits: rule.hits, reached, lift: () => (this.#rules = this.#rules.filter((one) => one !== rule)) };
  }

  /** The matching requests whose responses are not complete, such as watches. */
  openExchanges(matches: RequestMatcher): Exchange[] {
    return [...this.#exchanges].filter(({ request }) => matches(request));
  }

  /** Refuses new connections, and closes the existing ones. */
  async stopListening(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Listens; after `stopListening` on the same port. */
  async listen(): Promise<void> {
    this.#server.listen(this.#port, address);
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Ends the proxy and all its connections. */
  async close(): Promise<void> {
    if (this.#server.listening) await this.stopListening();
    this.#agent.destroy();
  }

  async #handle(incoming: Incoming, outgoing: Outgoing): Promise<void> {
    outgoing.on("error", () => undefined);
    try {
      const { method = "", url: path = "", headers } = incoming;
      const request = { receivedAt: Date.now(), method, path, headers, body: await buffer(incoming) };
      const exchange = this.#exchange(request, outgoing);
      this.#exchanges.add(exchange);
      outgoing.once("close", () => this.#exchanges.delete(exchange));
      // After the exchange has ended, a reset would only hit other requests on the same connection.
      await this.#decide(request)(exchange).catch(() => exchange.signal.aborted || exchange.reset());
    } catch {
      outgoing.destroy(); // The client ended the request early.
    }
  }

  #decide(request: ReceivedRequest): Fault {
    const rule = this.#rules.find((one) => one.remaining > 0 && one.matches(request));
    if (rule === undefined) return pass;
    rule.remaining--;
    rule.hits.push(request.receivedAt);
    for (const wake of rule.waiting) wake(false);
    rule.waiting.clear();
    return rule.fault;
  }

  #exchange(request: ReceivedRequest, outgoing: Outgoing): Exchange {
    const over = new AbortController();
    outgoing.once("close", () => over.abort());
    const { remotePort } = outgoing.req.socket;
    const socket = [...this.#sockets].find((one) => one.remotePort === remotePort);
    return {
      request,
      outgoing: outgoing as ServerResponse,
      isMuted: false,
      signal: over.signal,
      forward: async () => this.#forward(request, over.signal),
      socket,
      // Below TLS, so that the client sees a reset instead of an orderly end.
      reset: () => socket?.resetAndDestroy(),
    };
  }

  async #forward({ method, path, headers, body }: ReceivedRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const send = this.#agent instanceof SecureAgent ? secureRequest : plainRequest;
    const { ":authority": authority } = headers;
    // AWS' signatures cover the Host header.
    const forwardedHeaders = { ...forwarded(headers), host: String(headers["host"] ?? authority) };
    const options: RequestOptions = { method, headers: forwardedHeaders, agent: this.#agent, signal };
    return new Promise((resolve, reject) => {
      const outgoing = send(`${this.#upstream}${path}`, options, resolve);
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  }
}
