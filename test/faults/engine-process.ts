// Ends Pulumi's engine as a crash of its machine would: at once, with all processes that it started.
import { readdirSync, readFileSync } from "node:fs";

/** The ids of a process's children, which Linux lists by the thread that started them. */
const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${String(pid)}/task`).flatMap((thread) =>
    readFileSync(`/proc/${String(pid)}/task/${thread}/children`, "utf8")
      .split(" ")
      .filter(Boolean)
      .map(Number),
  );

/** Kills the engine's process group and those of its plugins, which lead groups of their own and could outlive it. */
export function killEngine(pid: number): void {
  for (const group of [pid, ...childrenOf(pid)]) {
    try {
      process.kill(-group, "SIGKILL");
    } catch (error) {
      // The process has ended, or belonged to the engine's own group.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
