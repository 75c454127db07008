// The end of an engine as that of its machine: at once, and of all that it started.
import { readdirSync, readFileSync } from "node:fs";

/** Those that a process has started, by whichever thread of its own. */
const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${String(pid)}/task`).flatMap((thread) =>
    readFileSync(`/proc/${String(pid)}/task/${thread}/children`, "utf8")
      .split(" ")
      .filter(Boolean)
      .map(Number),
  );

/** Kills an engine, which leads a process group, and its plugins, which lead groups of their own and may outlive it. */
export function killEngine(pid: number): void {
  for (const group of [pid, ...childrenOf(pid)]) {
    try {
      process.kill(-group, "SIGKILL");
    } catch (error) {
      // It ended before, or was in the engine's own group.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
