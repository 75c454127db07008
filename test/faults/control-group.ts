// A limit of memory as a container's: the kernel's control group, of either version.
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

export class ControlGroup {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes one whose processes have so many bytes together. */
  static async make(name: string, limit: number): Promise<ControlGroup> {
    if (isUnified) await writeFile(join(root, "cgroup.subtree_control"), "+memory");
    const folder = join(root, isUnified ? "" : "memory", name);
    await mkdir(folder);
    await writeFile(join(folder, files.limit), String(limit));
    return new ControlGroup(folder);
  }

  /** The program around one that is to run in it. */
  get around(): string[] {
    return ["sh", "-c", `echo $$ > ${this.#folder}/cgroup.procs && exec "$@"`, "sh"];
  }

  /** Leaves no more than what is in use now. */
  async squeeze(): Promise<void> {
    const usage = await readFile(join(this.#folder, files.usage), "utf8");
    await writeFile(join(this.#folder, files.limit), usage).catch((error: unknown) => {
      // By now more is in use, and the older kernel interface takes no limit below that.
      if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
    });
  }

  /** The most that was in use, in bytes: as the limit counts it. */
  async peak(): Promise<number> {
    return Number(await readFile(join(this.#folder, files.peak), "utf8"));
  }

  /** How many processes the kernel killed because there was no more. */
  async kills(): Promise<number> {
    return Number(/^oom_kill (\d+)$/m.exec(await readFile(join(this.#folder, files.kills), "utf8"))?.[1]);
  }

  /** When its processes have ended. */
  async remove(): Promise<void> {
    await rmdir(this.#folder);
  }
}
