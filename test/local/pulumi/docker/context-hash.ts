// What stands in the state for the content of a build context, so that a changed file means a new image: hashContext in
// pulumi-docker provider/provider.go. Names, modes and contents of all files count, but for what .dockerignore names.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { lstat, readdir, readFile, realpath } from "node:fs/promises";
import { basename, join, relative } from "node:path";

/** A hash in hexadecimal digits. Rejects where the context or the Dockerfile cannot be read. */
export async function contextHash(context: string, dockerfile: string): Promise<string> {
  const hash = createHash("sha256");
  const isIgnored = await ignoring(context, dockerfile);
  // By the same name whatever its own, as the builder takes no notice of that.
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

/** Of a symbolic link, where it leads and not what is there. */
async function entryOf(file: string, name: string, mode: string): Promise<string> {
  const isLink = (await lstat(file)).isSymbolicLink();
  const content = isLink ? await realpath(file) : await readFile(file);
  return `${name}\0${mode}\0${createHash("sha256").update(content).digest("hex")}\0`;
}

/** The patterns of .dockerignore: the last one that matches decides, `!` takes a file back in. */
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
