// What was made once and is kept: folders of the cache, each under the version and the content that it was made from.
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cache } from "./settings.ts";
import { LocalCloudError } from "./process.ts";
import { say, step } from "./progress.ts";

export interface CacheEntry {
  /** Its name in the cache. */
  readonly folder: string;
  /** What is shown while it is made. */
  readonly title: string;
  /** Files that it has when it is whole, relative to the folder. They are compared with what was made, by size and time. */
  readonly files: readonly string[];
  /** Free disk space that it takes to make it, in bytes. */
  readonly requiredBytes?: number;
  /** Makes it. What an interrupted attempt left is still in the folder. */
  readonly build: (folder: string) => Promise<void>;
}

/** Makes a folder of the cache unless it is there whole, and gives its path. */
export async function ensureCached({
  folder: name,
  title,
  files,
  requiredBytes = 0,
  build,
}: CacheEntry): Promise<string> {
  const folder = join(cache, name);
  // Written last: what ended half-way is made anew.
  const marker = join(folder, ".complete");
  if (existsSync(marker)) {
    if ((await readFile(marker, "utf8")) === (await stampOf(folder, files))) return folder;
    say(`${folder} is not as it was made; it is made again.`);
    await rm(folder, { recursive: true });
  }
  await mkdir(folder, { recursive: true });
  await checkSpace(folder, requiredBytes);
  await step(title, async () => build(folder)).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    const remedy =
      "Remedy: mend what that says (network, disk space), then run the command again: it goes on from there.";
    throw new LocalCloudError(why.includes("Remedy: ") ? why : `${why}\n${remedy}`, { cause });
  });
  await writeFile(marker, await stampOf(folder, files));
  return folder;
}

async function stampOf(folder: string, programs: readonly string[]): Promise<string> {
  const stamp = async (program: string): Promise<string> =>
    stat(join(folder, program)).then(
      ({ size, mtimeMs }) => `${program} ${String(size)} ${String(mtimeMs)}\n`,
      () => `${program} is missing\n`,
    );
  return (await Promise.all(programs.map(stamp))).join("");
}

const inGigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

async function checkSpace(folder: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= needed) return;
  throw new LocalCloudError(
    `${folder} has ${inGigabytes(bavail * bsize)} of free disk space, and making what belongs there takes ${inGigabytes(needed)}. ` +
      "Remedy: free some, or set XDG_CACHE_HOME and GOCACHE to folders on a larger disk.",
  );
}
