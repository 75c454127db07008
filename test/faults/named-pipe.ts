// A pipe with a name, so that its reader may go and another come: a container's log is written to such a one.
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import type { LogLine } from "../support/helper-process.ts";

export class NamedPipe {
  readonly #path: string;
  #reader: number;

  /** Makes it, with a reader who does not read. */
  constructor(path: string) {
    this.#path = path;
    execFileSync("mkfifo", [path]);
    this.#reader = this.#open();
  }

  #open(): number {
    return openSync(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  /** For the process that writes to it. */
  openWriter(): number {
    return openSync(this.#path, constants.O_WRONLY);
  }

  /** Writes to it until it takes no more. */
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

  /** Its reader goes. */
  closeReader(): void {
    closeSync(this.#reader);
  }

  /** Another reader comes. */
  reopenReader(): void {
    this.#reader = this.#open();
  }

  /** Reads the helper's lines up to one that says so, and then no more. */
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
