// Runs the real helper as a process of its own, outside of a pod, with a pod's service account.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { imageEnvironment } from "./helper-bundle.ts";
import { recordOutput } from "../local/audit-log.ts";

/** A pod's way to the API server. */
export interface Cluster {
  server: string;
  ca: string;
  token: string;
  /** The file that has the token, where that may change. */
  tokenFile?: string;
}

/** A line of the helper's JSON log. */
export type LogLine = Record<string, string> & { message: string; level: string };

const main = join(import.meta.dirname, "helper-main.ts");

export class HelperProcess {
  readonly lines: LogLine[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #ended = false;

  /**
   * `command` is what Node is given: helper-main.ts by default, or its bundle, with Node's own flags before it; `around` the
   * program that runs Node, with its arguments; `stdout` a file descriptor that takes the lines instead of `lines`.
   */
  constructor(
    cluster: Cluster,
    env: Readonly<Record<string, string>>,
    command: readonly string[] = [main],
    { wrapper = [], stdout = "pipe" }: { wrapper?: readonly string[]; stdout?: "pipe" | number } = {},
  ) {
    const own = {
      ...imageEnvironment,
      ...env,
      ECR_HELPER_LOG_FORMAT: "json",
      TEST_CLUSTER: JSON.stringify(cluster),
      PATH: process.env["PATH"],
    };
    const [program = "", ...args] = [...wrapper, process.execPath, ...command];
    this.#child = spawn(program, args, { env: own, stdio: ["ignore", stdout, "pipe"] });
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      process.stderr.write(chunk);
      recordOutput("helpers", chunk.toString());
    });
    this.#child.once("exit", () => {
      this.#ended = true;
      this.#notify();
    });
    let rest = "";
    // All that came at once is one piece of work: a helper says a thousand lines a second.
    this.#child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      if (lines.length === 0) return;
      recordOutput("helpers", lines.join("\n"));
      this.lines.push(...lines.map((line) => JSON.parse(line) as LogLine));
      this.#notify();
    });
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits for a line, of those that came and those to come, after the first `from`. Rejects when the helper ends. */
  async line(wanted: RegExp, from = 0, timeout = 30_000): Promise<LogLine> {
    const deadline = AbortSignal.timeout(timeout);
    for (let next = from; ;) {
      const found = this.lines.slice(next).find(({ message }) => wanted.test(message));
      // What was looked at is not looked at again: there may be ten thousand.
      next = Math.max(from, this.lines.length);
      if (found !== undefined) return found;
      const said = (): string => this.lines.map(({ message }) => message).join("\n");
      if (this.#ended) throw new Error(`the helper ended without a line ${String(wanted)}:\n${said()}`);
      if (deadline.aborted) throw new Error(`no line ${String(wanted)} in ${String(timeout / 1000)} s:\n${said()}`);
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

  /** Ends it by SIGTERM, or another signal, and gives its exit code and how long that took, in milliseconds. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<{ code: number | null; took: number }> {
    const since = performance.now();
    if (!this.#ended) this.#child.kill(signal);
    await this.waitForExit();
    return { code: this.#child.exitCode, took: performance.now() - since };
  }

  /** Resolves when it has ended, with the signal that ended it, if one did. */
  async waitForExit(): Promise<NodeJS.Signals | null> {
    if (!this.#ended) await once(this.#child, "exit");
    return this.#child.signalCode;
  }
}
