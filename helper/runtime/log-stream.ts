// Where the log's lines go: to a pipe, as a rule. Whoever should read it may be slow, stuck or gone, and that holds up
// nothing, fills no memory and ends nothing.
import type { Writable } from "node:stream";

/** What may wait for room in the pipe, in characters; further lines are lost. Some thousand lines: the next may take seconds. */
const maxBuffered = 1 << 18;
/** Lines are gathered for so long, in milliseconds: to write each by itself costs a sixth of a refresh. */
const batchWindowMs = 20;
/** How long the end waits for the last lines to be read, in milliseconds. */
const endLimit = 500;

/** Told how many lines were lost, as soon as there is room again. */
export type LossListener = (lines: number) => void;

export class LogStream {
  readonly #stream: Writable;
  readonly #limit: number;
  #buffered = "";
  #lost = 0;
  #isDropping = false;
  #listener: LossListener = () => undefined;

  constructor(stream: Writable, limit = maxBuffered) {
    [this.#stream, this.#limit] = [stream, limit];
    stream.on("drain", () => this.#resume());
    // Nobody reads it any more. Node would end the process for that, which is there for more than its log; and another
    // reader may come.
    stream.on("error", () => (this.#isDropping = false));
  }

  onLoss(listener: LossListener): void {
    this.#listener = listener;
  }

  /** Writes whole lines soon, or loses them where too much waits already. Never blocks and never throws. */
  write = (lines: string): void => {
    this.#isDropping ||= this.#stream.writableLength + this.#buffered.length + lines.length > this.#limit;
    if (this.#isDropping) {
      this.#lost += lines.split("\n").length - 1;
      return;
    }
    if (this.#buffered === "") setTimeout(() => this.#flush(), batchWindowMs);
    this.#buffered += lines;
  };

  /** Resolves when everything was taken, or to false when that takes too long: then an end in peace would be none. */
  async flushed(milliseconds = endLimit): Promise<boolean> {
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
    const lost = this.#lost;
    [this.#isDropping, this.#lost] = [false, 0];
    if (lost > 0) this.#listener(lost);
  }
}
