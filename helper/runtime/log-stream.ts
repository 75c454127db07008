// Writes the log, usually to a pipe. A reader that is slow, stuck or gone must not block the helper, fill its memory or end it.
import type { Writable } from "node:stream";

/** Characters that may wait for the reader, which may pause for seconds: some thousand lines. Further ones are dropped. */
const maxBuffered = 1 << 18;
/** How long lines are collected, in milliseconds: to write each by itself costs a sixth of a refresh. */
const batchWindowMs = 20;
/** How long `flushed` waits for the reader, in milliseconds. */
const flushTimeout = 500;

/** Called with the number of lines that were dropped, as soon as the reader has made room. */
export type LossListener = (lines: number) => void;

/** A log that drops lines rather than wait for its reader. */
export class LogStream {
  readonly #stream: Writable;
  readonly #limit: number;
  #buffered = "";
  #dropped = 0;
  #isDropping = false;
  #listener: LossListener = () => undefined;

  /** `limit` is how many characters may wait for the reader. */
  constructor(stream: Writable, limit = maxBuffered) {
    [this.#stream, this.#limit] = [stream, limit];
    stream.on("drain", () => this.#resume());
    // The reader is gone, and another may come. Without a listener, Node would end the process for this.
    stream.on("error", () => (this.#isDropping = false));
  }

  /** Sets the only listener. */
  onLoss(listener: LossListener): void {
    this.#listener = listener;
  }

  /** Writes whole lines within milliseconds, or drops them where too much waits already. Never blocks and never throws. */
  write = (lines: string): void => {
    this.#isDropping ||= this.#stream.writableLength + this.#buffered.length + lines.length > this.#limit;
    if (this.#isDropping) {
      this.#dropped += lines.split("\n").length - 1;
      return;
    }
    if (this.#buffered === "") setTimeout(() => this.#flush(), batchWindowMs);
    this.#buffered += lines;
  };

  /** Resolves to true when everything is read; to false, after `milliseconds`, when the reader is too slow. */
  async flushed(milliseconds = flushTimeout): Promise<boolean> {
    this.#flush();
    return new Promise((resolve) => {
      this.#stream.write("", () => resolve(true));
      setTimeout(() => resolve(false), milliseconds).unref();
    });
  }

  #flush(): void {
    const lines = this.#buffered;
    this.#buffered = "";
    if (lines !== "" && this.#stream.write(lines)) this.#resume();
  }

  #resume(): void {
    const dropped = this.#dropped;
    [this.#isDropping, this.#dropped] = [false, 0];
    if (dropped > 0) this.#listener(dropped);
  }
}
