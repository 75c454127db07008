// Runs the real helper as a separate process, outside of a pod, with a pod's service account.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { imageEnvironment } from "./helper-bundle.ts";
import { recordOutput } from "../local/audit-log.ts";

/** How a pod reaches the API server. */
export interface Cluster {
  server: string;
  ca: string;
  token: string;
  /** A folder as a pod mounts it, whose files `ca.crt` and `token` replace these two and may change. */
  folder?: string;
}

/** A line of the helper's JSON log. */
export type LogLine = Record<string, string> & { message: string; level: string };

const main = join(import.meta.dirname, "helper-main.ts");

/** A running helper, and the lines that it has logged. */
export class HelperProcess {
  readonly lines: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #ended = false;

  /**
   * Starts the helper. `command` has Node's arguments: helper-main.ts by default, or a bundle with Node's own flags before it.
   * `wrapper` is a program, with its arguments, that runs Node. `stdout` may be a file descriptor; `lines` then stays empty.
   */
  constructor(
    cluster: Cluster,
    env: Readonly<Record<string, string>>,
    command: readonly string[] = [main],
    { wrapper = [], stdout = "pipe" }: { wrapper?: readonly string[]; stdout?: "pipe" | number } = {},
  ) {
    const environment = {
      ...imageEnvironment,
      ...env,
      ECR_HELPER_LOG_FORMAT: "json",
      TEST_CLUSTER: JSON.stringify(cluster),
      PATH: process.env["PATH"],
    };
    const [program = "", ...args] = [...wrapper, process.execPath, ...command];
    this.#child = spawn(program, args, { env: environment, stdio: ["ignore", stdout, "pipe"] });
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      process.stderr.write(chunk);
      recordOutput("helpers", chunk.toString());
    });
    this.#child.once("exit", () => {
      this.#ended = true;
      this.#notify();
    });
    let rest = "";
    // Handles a whole chunk at once, because a helper may log a thousand lines a second.
    this.#child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      if (lines.length === 0) return;
      recordOutput("helpers", lines.join("\n"));
      this.lines.push(...lines.map((line) => JSON.parse(line) as LogLine));
      this.#notify();
    });
  }

  /** Whether the process has exited. */
  get hasEnded(): boolean {
    return this.#ended;
  }

  /** The process id; 0 if the process could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /**
   * Resolves with the first line from index `from` on whose message matches, whether it is already logged or not. Rejects when
   * the helper exits without it, or after `timeout` milliseconds.
   */
  async line(wanted: RegExp, from = 0, timeout = 30_000): Promise<LogLine> {
    const deadline = AbortSignal.timeout(timeout);
    for (let next = from; ;) {
      const found = this.lines.slice(next).find(({ message }) => wanted.test(message));
      // Searches every line only once: there may be ten thousand.
      next = Math.max(from, this.lines.length);
      if (found !== undefined) return found;
      const log = (): string => this.lines.map(({ message }) => message).join("\n");
      if (this.#ended) throw new Error(`the helper ended without a line ${String(wanted)}:\n${log()}`);
      if (deadline.aborted) throw new Error(`no line ${String(wanted)} in ${String(timeout / 1000)} s:\n${log()}`);
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
        deadline.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  #notify(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Sends a signal. Resolves with the exit code, and with the milliseconds that the exit took. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<{ code: number | null; took: number }> {
    const since = performance.now();
    if (!this.#ended) this.#child.kill(signal);
    await this.waitForExit();
    return { code: this.#child.exitCode, took: performance.now() - since };
  }

  /** Resolves when the process has exited, with the signal that ended it; null if none did. */
  async waitForExit(): Promise<NodeJS.Signals | null> {
    if (!this.#ended) await once(this.#child, "exit");
    return this.#child.signalCode;
  }
}
