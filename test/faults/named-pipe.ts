// A named pipe as a helper's standard output: its reader can stop, go and come back, as the reader of a container's log can.
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import type { LogLine } from "../support/helper-process.ts";

/** A pipe with at most one reader at a time. */
export class NamedPipe {
  readonly #path: string;
  #reader: number;

  /** Creates the pipe at a path and opens a reader that does not read yet. */
  constructor(path: string) {
    this.#path = path;
    execFileSync("mkfifo", [path]);
    this.#reader = this.#open();
  }

  #open(): number {
    return openSync(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  /** Opens the end for the process that writes, and returns its file descriptor. */
  openWriter(): number {
    return openSync(this.#path, constants.O_WRONLY);
  }

  /** Fills the pipe's buffer, so that the next write blocks. */
  fill(): void {
    const writer = openSync(this.#path, constants.O_WRONLY | constants.O_NONBLOCK);
    const line = Buffer.from(`${"x".repeat(1023)}\n`);
    try {
      for (;;) writeSync(writer, line);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    } finally {
      closeSync(writer);
    }
  }

  /** Closes the reader. */
  closeReader(): void {
    closeSync(this.#reader);
  }

  /** Opens another reader. */
  reopenReader(): void {
    this.#reader = this.#open();
  }

  /** Reads the helper's log lines up to the first whose message matches; rejects if the pipe ends before. */
  async linesUpTo(wanted: RegExp): Promise<LogLine[]> {
    const lines: LogLine[] = [];
    for await (const text of createInterface({ input: new Socket({ fd: this.#reader }) })) {
      const line = JSON.parse(text) as LogLine;
      lines.push(line);
      if (wanted.test(line.message)) return lines;
    }
    throw new Error(`the pipe ended without a line ${String(wanted)}`);
  }
}
