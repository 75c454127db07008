// Lets bytes leave a connection only while the helper may write. Whatever HTTP/2 and TLS still had of a request when the process was
// stopped would otherwise be sent as soon as it goes on.
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/** A connection over a socket that asks, right before each chunk is handed to the kernel, whether it may be sent. */
export class WriteGate extends Duplex {
  readonly #socket: Socket;
  readonly #mayWrite: () => boolean;

  constructor(socket: Socket, mayWrite: () => boolean) {
    super();
    [this.#socket, this.#mayWrite] = [socket, mayWrite];
    socket
      .on("data", (chunk: Buffer) => this.push(chunk) || socket.pause())
      .once("end", () => this.push(null))
      .once("error", (error: Error) => this.destroy(error))
      .once("close", () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#mayWrite()) this.#socket.write(chunk, done);
    else done(new NotAllowedError());
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // However it ends, what the kernel has must not be sent either: a connection that nobody answers on ends without an error.
    cut(this.#socket);
    done(error);
  }
}

/** Cuts a connection. Otherwise the kernel would go on sending what it has, for minutes, once a network is back. */
export function cut(socket: Socket): void {
  // A reset waits until a connection is established; there is nothing to send before.
  if (socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

/** Nothing was sent: this helper may not write any more. */
class NotAllowedError extends Error {
  constructor() {
    super("this helper does not hold the lease, so it writes nothing");
  }
}
