// HTTP/2 connections to one API server. As in client-go, many requests or watches share one, so that a watch costs one
// stream.
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { cut, WriteGate } from "./write-gate.ts";

/**
 * Streams per connection: HTTP/2 asks every server to allow at least this many.
 * https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2
 */
const streamsPerConnection = 100;
/** A connection that is silent for this long, in milliseconds, is pinged. */
const silenceLimit = 30_000;
/** A connection that does not answer a ping within this time, in milliseconds, is closed. */
const pingTimeout = 3_000;
/** The flow-control window, in bytes: a page of a list, or a burst of a watch, fits in without an update. */
const windowSize = 1 << 20;

interface Connection {
  readonly socket: Socket;
  /** The number of open ones. */
  streams: number;
}

/** Opens connections as needed. One without open streams does not keep the process alive. */
export class Http2Pool {
  readonly #server: string;
  readonly #ca: () => string;
  readonly #mayWrite: (() => boolean) | undefined;
  readonly #connections = new Map<ClientHttp2Session, Connection>();

  /**
   * `server` is `https://HOST:PORT`; `ca` returns certificates in PEM, for each connection. With `mayWrite`, bytes are sent only while
   * it returns true; otherwise their connection is reset.
   */
  constructor(server: string, ca: () => string, mayWrite?: () => boolean) {
    [this.#server, this.#ca, this.#mayWrite] = [server, ca, mayWrite];
  }

  /** Sends a request. The stream carries the response; it fails with the error of its connection. */
  request(headers: Readonly<Record<string, string>>, body: string | Buffer | undefined): ClientHttp2Stream {
    const session = this.#findFree() ?? this.#connect();
    const stream = session.request(headers, { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    this.#count(session, 1);
    stream.once("close", () => this.#count(session, -1));
    return stream;
  }

  /**
   * Pings the connection of a request that is slow. Node does not notice every reset that arrives while it writes, and TCP
   * does not notice every peer that vanishes: the requests on such a connection would wait in vain.
   */
  check({ session }: ClientHttp2Stream): void {
    if (session !== undefined && !session.connecting) ping(session as ClientHttp2Session);
  }

  /** Pings the connection of a request that timed out, or closes it if it is still being established. */
  checkTimedOut(stream: ClientHttp2Stream): void {
    if (stream.session?.connecting === true) stream.session.destroy(dead());
    else this.check(stream);
  }

  /** Cuts all connections at once: their requests fail. */
  reset(): void {
    for (const [session, { socket }] of this.#connections) {
      cut(socket);
      session.destroy(new Error("the connection was cut"));
    }
  }

  #findFree(): ClientHttp2Session | undefined {
    for (const [session, { streams }] of this.#connections) {
      if (!session.closed && !session.destroyed && streams < streamsPerConnection) return session;
    }
    return undefined;
  }

  #connect(): ClientHttp2Session {
    const settings = { enablePush: false, initialWindowSize: windowSize };
    const { hostname, port } = new URL(this.#server);
    const host = hostname.replace(/^\[(.*)\]$/, "$1");
    const ca = this.#ca();
    const socket = connectTcp({ host, port: Number(port === "" ? 443 : port) });
    const gated = this.#mayWrite === undefined ? socket : new WriteGate(socket, this.#mayWrite);
    const tls = { socket: gated, host, servername: isIP(host) > 0 ? "" : host, ca, ALPNProtocols: ["h2"] };
    const session = connect(this.#server, { settings, createConnection: () => connectTls(tls) });
    this.#connections.set(session, { socket, streams: 0 });
    session.once("connect", () => session.setLocalWindowSize(windowSize));
    session.setTimeout(silenceLimit, () => ping(session));
    session.once("close", () => this.#connections.delete(session));
    // Every request on it fails with this error, and reports it.
    session.on("error", () => undefined);
    return session;
  }

  #count(session: ClientHttp2Session, change: 1 | -1): void {
    const connection = this.#connections.get(session);
    if (connection === undefined) return;
    const before = connection.streams;
    connection.streams += change;
    // The socket, too: behind a gate the session does not know it.
    const both = [session, connection.socket];
    if (before === 0) both.forEach((one) => one.ref());
    else if (connection.streams === 0) both.forEach((one) => one.unref());
  }
}

/** Closes a connection unless the peer answers a ping: TCP alone takes a quarter of an hour to give up. */
function ping(session: ClientHttp2Session): void {
  if (session.closed || session.destroyed) return;
  let isAnswered = false;
  // A process that was suspended until now may have received the answer: setImmediate lets it be read first.
  const timer = setTimeout(() => setImmediate(() => isAnswered || session.destroy(dead())), pingTimeout).unref();
  session.ping(() => {
    isAnswered = true;
    clearTimeout(timer);
  });
}

const dead = (): Error => new Error("the API server's connection does not answer any more");
