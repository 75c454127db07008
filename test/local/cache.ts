// The cache of what takes long to build. Each entry is a folder, named by the version and a hash of what it was built from.
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cache } from "./settings.ts";
import { LocalCloudError } from "./process.ts";
import { say, step } from "./progress.ts";

/** How to build a folder of the cache. */
export interface CacheEntry {
  /** The folder's name in the cache. */
  readonly folder: string;
  /** Shown to the user during the build. */
  readonly title: string;
  /** The files of a complete folder, as relative paths. A folder in which their size or time has changed is built again. */
  readonly files: readonly string[];
  /** Free disk space that the build needs, in bytes. */
  readonly requiredBytes?: number;
  /** Builds the content. The folder may hold the remains of an interrupted build. */
  readonly build: (folder: string) => Promise<void>;
}

/** Builds a folder of the cache unless it is complete. Returns its path; rejects with LocalCloudError where the build fails. */
export async function ensureCached({
  folder: name,
  title,
  files,
  requiredBytes = 0,
  build,
}: CacheEntry): Promise<string> {
  const folder = join(cache, name);
  // Written last, so that an interrupted build is repeated.
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
