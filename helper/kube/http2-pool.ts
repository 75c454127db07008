// Connections to one API server over HTTP/2, as client-go's: calls and watches share them, so that a watch costs a stream
// and no connection of its own.
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";

/** What HTTP/2 asks every server to allow at least, in streams per connection: https://www.rfc-editor.org/rfc/rfc9113#section-6.5.2 */
const streamsPerConnection = 100;
/** A connection is asked whether it is alive when it was silent for so long, and given so long to answer, in milliseconds. */
const [silence, answerTime] = [30_000, 3_000];
/** What may be on its way without a word from us, in bytes: a page of a list, or a burst of a watch. */
const windowSize = 1 << 20;

export class Http2Pool {
  readonly #server: string;
  readonly #ca: string;
  /** Each with the number of its open streams. */
  readonly #sessions = new Map<ClientHttp2Session, number>();

  /** `server` as `https://HOST:PORT`; `ca` in PEM. Connects when there is something to send. */
  constructor(server: string, ca: string) {
    [this.#server, this.#ca] = [server, ca];
  }

  /** Sends a request. The stream is its answer; it fails with what ended its connection. */
  request(headers: Readonly<Record<string, string>>, body: string | Buffer | undefined): ClientHttp2Stream {
    const session = this.#withRoom() ?? this.#connect();
    const stream = session.request(headers, { endStream: body === undefined });
    this.#count(session, 1);
    stream.once("close", () => this.#count(session, -1));
    if (body !== undefined) stream.end(body);
    return stream;
  }

  /**
   * To be called when an answer takes its time. Node does not notice every reset of a connection that comes while it writes,
   * and TCP not every peer that vanished: whatever is on such a connection would wait for nothing.
   */
  check({ session }: ClientHttp2Stream): void {
    if (session !== undefined && !session.connecting) probe(session as ClientHttp2Session);
  }

  /** To be called when an answer did not come in all its time: a connection that is not even made is given up, too. */
  doubt(stream: ClientHttp2Stream): void {
    if (stream.session?.connecting === true) stream.session.destroy(dead());
    else this.check(stream);
  }

  #withRoom(): ClientHttp2Session | undefined {
    for (const [session, streams] of this.#sessions) {
      if (!session.closed && !session.destroyed && streams < streamsPerConnection) return session;
    }
    return undefined;
  }

  #connect(): ClientHttp2Session {
    const settings = { enablePush: false, initialWindowSize: windowSize };
    const session = connect(this.#server, { ca: this.#ca, settings });
    this.#sessions.set(session, 0);
    session.once("connect", () => session.setLocalWindowSize(windowSize));
    session.setTimeout(silence, () => probe(session));
    session.once("close", () => this.#sessions.delete(session));
    // Every request on it fails with the same error, and tells it.
    session.on("error", () => undefined);
    return session;
  }

  #count(session: ClientHttp2Session, change: 1 | -1): void {
    const streams = this.#sessions.get(session);
    if (streams === undefined) return;
    this.#sessions.set(session, streams + change);
    // A connection that nothing waits for keeps no process alive.
    if (streams === 0) session.ref();
    else if (streams + change === 0) session.unref();
  }
}

/** Ends a connection unless the other side answers a ping: TCP alone takes a quarter of an hour to give up. */
function probe(session: ClientHttp2Session): void {
  if (session.closed || session.destroyed) return;
  let isAnswered = false;
  // A process that was halted for so long may have the answer before it: that is read first.
  const timer = setTimeout(() => setImmediate(() => isAnswered || session.destroy(dead())), answerTime).unref();
  session.ping(() => {
    isAnswered = true;
    clearTimeout(timer);
  });
}

const dead = (): Error => new Error("the API server's connection does not answer any more");
