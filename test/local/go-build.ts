// Builds programs from Go modules into the cache, because registries of Go modules may be reachable where releases are not.
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureCached } from "./cache.ts";
import { LocalCloudError, run } from "./process.ts";

/** A build of one Go module. */
export interface GoBuild {
  /** The name and version of what is built, for the cache. */
  readonly name: string;
  readonly version: string;
  /** Shown to the user during the build. */
  readonly title: string;
  /** The path of the Go module's folder. */
  readonly source: string;
  /** The Go package of each program, by the program's name. */
  readonly programs: Readonly<Record<string, string>>;
  /** Values of Go variables, set when the programs are linked. */
  readonly variables: Readonly<Record<string, string>>;
}

/** In bytes, including the downloaded modules and Go's own cache: 5.1 GB were measured for the largest build. */
const requiredBytes = 6e9;

/** Builds programs unless the cache has them. Returns their paths by name; rejects with LocalCloudError where the build fails. */
export async function buildGo(build: GoBuild): Promise<Record<string, string>> {
  const { name, version, title, source, programs, variables } = build;
  const folder = await ensureCached({
    folder: `${name}-${version}-${await hashOf(source)}`,
    title,
    files: Object.keys(programs),
    requiredBytes: requiredBytes,
    build: async (made) => {
      await checkGo(source);
      const flags = ["-s -w", ...Object.entries(variables).map(([variable, value]) => `-X ${variable}=${value}`)];
      // -mod=readonly overrides GOFLAGS: every module has to match its hash in go.sum.
      const options = ["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", flags.join(" ")];
      const env = { ...process.env, CGO_ENABLED: "0" };
      for (const [program, goPackage] of Object.entries(programs)) {
        await run("go", [...options, "-o", join(made, program), goPackage], { cwd: source, env });
      }
    },
  });
  return Object.fromEntries(Object.keys(programs).map((program) => [program, join(folder, program)]));
}

async function hashOf(source: string): Promise<string> {
  const hash = createHash("sha256");
  const entries = await readdir(source, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  for (const file of files.sort()) hash.update(await readFile(file));
  return hash.digest("hex").slice(0, 12);
}

/** Rejects where no installed Go can build the module. A slightly older Go downloads the needed version from the modules' registry. */
async function checkGo(source: string): Promise<void> {
  const [, needed = ""] = /^go (\S+)$/m.exec(await readFile(join(source, "go.mod"), "utf8")) ?? [];
  const found = await run("go", ["env", "GOVERSION"], { cwd: source }).then(
    (version) => version.trim(),
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  if (/^go1\.\d/.test(found) && isAtLeast(found.slice(2), needed)) return;
  throw new LocalCloudError(
    `The local cloud is built from Go modules and needs Go ${needed} or newer on PATH, but: ${found}. ` +
      `Remedy: install Go ${needed} or newer.`,
  );
}

/** Whether `version` is equal to `other` or newer. Both are numbers between dots. */
export function isAtLeast(version: string, other: string): boolean {
  const [ours, theirs] = [version, other].map((one) => one.split(/[.-]/).map(Number));
  for (const [index, part] of (theirs ?? []).entries()) {
    const own = ours?.[index] ?? 0;
    if (own !== part) return own > part;
  }
  return true;
}
