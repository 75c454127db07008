// The hash of a build context in the state, by which a changed file causes a new image: hashContext in pulumi-docker
// provider/provider.go. It covers names, modes and contents of all files that .dockerignore does not exclude.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { lstat, readdir, readFile, realpath } from "node:fs/promises";
import { basename, join, relative } from "node:path";

/** A hash in hexadecimal digits. Rejects where the context or the Dockerfile cannot be read. */
export async function contextHash(context: string, dockerfile: string): Promise<string> {
  const hash = createHash("sha256");
  const isIgnored = await ignoring(context, dockerfile);
  // Always under the same name, because the builder ignores the Dockerfile's name.
  hash.update(await entryOf(dockerfile, "Dockerfile", "0"));
  for (const name of await filesIn(context)) {
    if (isIgnored(name)) continue;
    const file = join(context, name);
    hash.update(await entryOf(file, name, (await lstat(file)).mode.toString(8)));
  }
  return hash.digest("hex");
}

async function filesIn(context: string): Promise<string[]> {
  const entries = await readdir(context, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw new Error(`unable to hash build context: ${error instanceof Error ? error.message : String(error)}`);
  });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map((entry) => relative(context, join(entry.parentPath, entry.name))).sort();
}

/** The contribution of a file to the hash. For a symbolic link it is the target's path and not its content. */
async function entryOf(file: string, name: string, mode: string): Promise<string> {
  const isLink = (await lstat(file)).isSymbolicLink();
  const content = isLink ? await realpath(file) : await readFile(file);
  return `${name}\0${mode}\0${createHash("sha256").update(content).digest("hex")}\0`;
}

/** A test by the patterns of .dockerignore. The last matching pattern decides; `!` includes a file again. */
async function ignoring(context: string, dockerfile: string): Promise<(name: string) => boolean> {
  // A Dockerfile may have an ignore file of its own (mapDockerignore).
  const own = join(context, `${basename(dockerfile)}.dockerignore`);
  const file = existsSync(own) ? own : join(context, ".dockerignore");
  if (!existsSync(file)) return () => false;
  const lines = (await readFile(file, "utf8")).split("\n").map((line) => line.trim());
  const rules = lines.filter((line) => line !== "" && !line.startsWith("#")).map(ruleOf);
  return (name) => rules.reduce((ignored, rule) => (rule.pattern.test(name) ? rule.ignores : ignored), false);
}

/** https://docs.docker.com/build/concepts/context/#dockerignore-files */
function ruleOf(line: string): { pattern: RegExp; ignores: boolean } {
  const glob = line.replace(/^!/, "").replace(/^\/|\/$/g, "");
  const escaped = glob.replace(/[.+^${}()|]/g, "\\$&");
  const parts = escaped.split(/(\*\*\/?|\*|\?)/).map((part) => {
    if (part.startsWith("**")) return ".*";
    if (part === "*") return "[^/]*";
    return part === "?" ? "[^/]" : part;
  });
  return { pattern: new RegExp(`^${parts.join("")}(/.*)?$`), ignores: !line.startsWith("!") };
}
