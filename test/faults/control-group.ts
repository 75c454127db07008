// Limits the memory of processes as a container runtime does: by a control group of Linux, version 1 or 2.
import { existsSync } from "node:fs";
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const root = "/sys/fs/cgroup";
const isUnified = existsSync(join(root, "cgroup.controllers"));
const files = isUnified
  ? { limit: "memory.max", usage: "memory.current", peak: "memory.peak", kills: "memory.events" }
  : {
      limit: "memory.limit_in_bytes",
      usage: "memory.usage_in_bytes",
      peak: "memory.max_usage_in_bytes",
      kills: "memory.oom_control",
    };

/** A memory control group; a test has to call `remove`. */
export class ControlGroup {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Creates a group with a limit in bytes for all its processes together. */
  static async make(name: string, limit: number): Promise<ControlGroup> {
    if (isUnified) await writeFile(join(root, "cgroup.subtree_control"), "+memory");
    const folder = join(root, isUnified ? "" : "memory", name);
    await mkdir(folder);
    await writeFile(join(folder, files.limit), String(limit));
    return new ControlGroup(folder);
  }

  /** The command prefix that runs a program inside the group. */
  get around(): string[] {
    return ["sh", "-c", `echo $$ > ${this.#folder}/cgroup.procs && exec "$@"`, "sh"];
  }

  /** Lowers the limit to what is in use now. */
  async squeeze(): Promise<void> {
    const usage = await readFile(join(this.#folder, files.usage), "utf8");
    await writeFile(join(this.#folder, files.limit), usage).catch((error: unknown) => {
      // More is in use by now, and version 1 refuses a limit below the usage.
      if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
    });
  }

  /** The peak usage in bytes, counted as the limit counts it. */
  async peak(): Promise<number> {
    return Number(await readFile(join(this.#folder, files.peak), "utf8"));
  }

  /** How many processes of the group the kernel killed for lack of memory. */
  async kills(): Promise<number> {
    return Number(/^oom_kill (\d+)$/m.exec(await readFile(join(this.#folder, files.kills), "utf8"))?.[1]);
  }

  /** Removes the group; rejects while a process runs in it. */
  async remove(): Promise<void> {
    await rmdir(this.#folder);
  }
}
