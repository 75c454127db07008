// Pulumi on this machine: the command and its plugins, official ones where they can be had, put together in a PULUMI_HOME
// of this checkout's own.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { access, chmod, constants, copyFile, link, mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, dirname, join, relative, resolve } from "node:path";
import { buildGo, isAtLeast } from "../go-build.ts";
import { run, succeeds } from "../process.ts";
import { say, step } from "../progress.ts";

const project = resolve(import.meta.dirname, "../../..");
const home = join(project, "build/pulumi");

/** Whether a folder is one that a checkout put together, as in a shell of `npm run env`. */
const isOfCheckout = (folder: string): boolean => /\/build\/pulumi(\/bin)?\/?$/.test(folder);

/** Where the user's own pulumi keeps what it downloads. Read at once: this process goes over to `home`. */
const userHome = ((given = "") => (given === "" || isOfCheckout(given) ? join(homedir(), ".pulumi") : given))(
  process.env["PULUMI_HOME"],
);

/** The folder with the pulumi command: the first one on PATH. */
export const pulumiFolder = join(home, "bin");
export const pulumiCommand = join(pulumiFolder, "pulumi");

/** The environment in which the pulumi command finds these plugins, and looks for no others. */
export const pulumiEnvironment = (): Record<string, string> => ({
  // After an import it writes code by the official language host and plugins alone.
  ...(existsSync(join(pulumiFolder, "pulumi-language-nodejs")) ? { PULUMI_OPTION_GENERATE_CODE: "false" } : {}),
  // The provider that is built creates by server-side apply, which takes over what somebody else made. The official one refuses
  // that since 4.29: https://github.com/pulumi/pulumi-kubernetes/pull/4278
  ...(originOfPlugin("kubernetes") === "built from Go modules" ? { PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY: "false" } : {}),
  PULUMI_HOME: home,
  PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
  PULUMI_SKIP_UPDATE_CHECK: "true",
});

/** What is built where no official command can be had: a version that the registry of Go modules has. */
const commandVersion = "v3.274.1";

/** The oldest command that runs the program: Pulumi.yaml asks for it, too. */
const oldestCommand = "3.265.0";

const providers = ["kubernetes", "aws", "docker"] as const;
type ProviderName = (typeof providers)[number];

/** Where a part comes from, as the user is told. */
type Origin = "official" | "built from Go modules" | "stand-in of this repository";

const versionOfPackage = (name: ProviderName): string => {
  const manifest = join(project, "node_modules/@pulumi", name, "package.json");
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
};

/** The file that says where a provider's plugin comes from. */
const originFile = (name: ProviderName): string => join(home, `resource-${name}-v${versionOfPackage(name)}.origin`);

const originOfPlugin = (name: ProviderName): Origin | undefined =>
  existsSync(originFile(name)) ? (readFileSync(originFile(name), "utf8") as Origin) : undefined;

interface PreparedCommand {
  /** What is told of it, `v3.274.1 (built from Go modules)`. */
  readonly what: string;
  readonly origin: Origin;
  readonly why: string;
}

/** Makes sure that the command and its plugins are there, and says in a line which ones they are, and why. */
export async function preparePulumi(): Promise<void> {
  await mkdir(pulumiFolder, { recursive: true });
  await replaceLink(process.execPath, join(pulumiFolder, "node"));
  const command = await prepareCommand();
  const plugins: string[] = [];
  for (const name of providers) plugins.push(`${name} ${await preparePlugin(name, command)}`);
  say(`Pulumi: command ${command.what}; providers ${plugins.join(", ")}. ${command.why}`.trim());
}

/** The official command that this machine has, or npm's shim downloads; else one that is built. */
async function prepareCommand(): Promise<PreparedCommand> {
  const complaints: string[] = [];
  for (const find of [installedCommand, downloadedCommand]) {
    const found = await find(complaints);
    if (found === undefined) continue;
    await rm(join(pulumiFolder, "pulumi-language-nodejs"), { force: true });
    await replaceLink(found.path, pulumiCommand);
    return { what: `v${found.version} (official, ${found.path})`, origin: "official", why: complaints.join(" ") };
  }
  const { pulumi = "" } = await buildGo({
    name: "pulumi",
    version: commandVersion,
    title: `building pulumi ${commandVersion} from Go modules (3 to 5 minutes, once)`,
    source: join(import.meta.dirname, "command"),
    programs: { pulumi: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi" },
    variables: { "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": commandVersion },
  });
  // The command looks for its language host beside itself, where it really is.
  await linkHard(pulumi, pulumiCommand);
  await writeProgram(join(pulumiFolder, "pulumi-language-nodejs"), "language-host.ts");
  return {
    what: `${commandVersion} (built from Go modules)`,
    origin: "built from Go modules",
    why: complaints.join(" "),
  };
}

export interface Command {
  readonly path: string;
  readonly version: string;
}

/** A command on PATH that is not npm's shim, which hides it in every npm script, nor a checkout's own. */
export async function installedCommand(complaints: string[]): Promise<Command | undefined> {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const foreign = folders.filter((folder) => !/node_modules\/\.bin\/?$/.test(folder) && !isOfCheckout(folder));
  for (const path of foreign.map((folder) => join(folder, "pulumi"))) {
    if (!(await succeeds(access(path, constants.X_OK)))) continue;
    const version = await versionOf(path);
    if (version !== undefined && isAtLeast(version, oldestCommand)) return { path, version };
    complaints.push(
      `${path} is ${version === undefined ? "not a pulumi command that works" : `v${version}`}, and v${oldestCommand} or newer is needed: update it to have it used.`,
    );
  }
  return undefined;
}

/** What npm's shim has downloaded, or downloads now. */
async function downloadedCommand(complaints: string[]): Promise<Command | undefined> {
  const shim = join(project, "node_modules/pulumi");
  const { version } = JSON.parse(readFileSync(join(shim, "package.json"), "utf8")) as { version: string };
  const path = join(userHome, "versions", version, "bin", "pulumi");
  if (!existsSync(path)) {
    const failure = await step("looking for an official pulumi command", async () =>
      run(process.execPath, [join(shim, "run.js"), "version"], { env: { ...process.env, PULUMI_HOME: userHome } }).then(
        () => undefined,
        (error: unknown) => lastLineOf(error),
      ),
    );
    if (failure !== undefined) {
      complaints.push(`No official command is installed, and none can be downloaded here (${failure}).`);
      return undefined;
    }
  }
  return { path, version };
}

const lastLineOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error))
    .trim()
    .split("\n")
    .at(-1)
    ?.replace(/^pulumi: /, "") ?? "";

const versionOf = async (command: string): Promise<string | undefined> =>
  run(command, ["version"], { timeout: 60_000, env: { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" } }).then(
    (said) => /^v?(\d+\.\d+\.\d+)/.exec(said.trim())?.[1],
    () => undefined,
  );

/** Makes sure that a provider's plugin is there in the version of its npm package, and tells which one it is. */
async function preparePlugin(name: ProviderName, command: PreparedCommand): Promise<string> {
  const version = versionOfPackage(name);
  const kept = `resource-${name}-v${version}`;
  const folder = join(home, "plugins", kept);
  const program = join(folder, `pulumi-resource-${name}`);
  // Another version's would be taken for the same one.
  for (const other of existsSync(dirname(folder)) ? readdirSync(dirname(folder)) : []) {
    if (other.startsWith(`resource-${name}-`) && !other.startsWith(kept)) {
      await rm(join(dirname(folder), other), { recursive: true, force: true });
    }
  }
  const origin = await originOf(name, version, command);
  if (origin === "official") return `v${version} (official)`;
  await mkdir(folder, { recursive: true });
  if (name === "kubernetes") {
    const { [`pulumi-resource-${name}`]: built = "" } = await buildKubernetesProvider(version);
    await replaceLink(built, program);
    return `v${version} (built from Go modules)`;
  }
  await writeProgram(program, `${name}/main.ts`);
  return `v${version} (stand-in, test/local/pulumi/${name})`;
}

/** Whether the official plugin is there, or can be downloaded now: only where the command could be had, too. */
async function originOf(name: ProviderName, version: string, command: PreparedCommand): Promise<Origin> {
  const plugin = `resource-${name}-v${version}`;
  const folder = join(home, "plugins", plugin);
  const standIn: Origin = name === "kubernetes" ? "built from Go modules" : "stand-in of this repository";
  const users = join(userHome, "plugins", plugin);
  const known = originOfPlugin(name);
  if (known !== undefined && existsSync(folder)) return known;
  await rm(folder, { recursive: true, force: true });
  await mkdir(dirname(folder), { recursive: true });
  const origin = existsSync(users) || (await downloadPlugin(name, version, command)) ? "official" : standIn;
  if (origin === "official" && !existsSync(folder)) await replaceLink(users, folder);
  await writeFile(originFile(name), origin);
  return origin;
}

async function downloadPlugin(name: ProviderName, version: string, command: PreparedCommand): Promise<boolean> {
  if (command.origin !== "official") return false;
  const env = { ...process.env, PULUMI_HOME: home, PULUMI_SKIP_UPDATE_CHECK: "true" };
  const install = run(pulumiCommand, ["plugin", "install", "resource", name, version], { env });
  return step(`looking for the official ${name} provider`, async () => succeeds(install));
}

const buildKubernetesProvider = async (version: string): Promise<Record<string, string>> =>
  buildGo({
    name: "pulumi-kubernetes",
    version,
    title: "building Pulumi's Kubernetes provider from Go modules (5 to 8 minutes, once)",
    source: join(import.meta.dirname, "kubernetes"),
    programs: { "pulumi-resource-kubernetes": "." },
    variables: { "main.version": version },
  });

/** Writes a program that runs a file of this folder, found from where the program stands: the checkout may be moved. */
async function writeProgram(path: string, file: string): Promise<void> {
  const [from, node] = [join(import.meta.dirname, file), join(pulumiFolder, "node")];
  const [target, interpreter] = [from, node].map((one) => `"$folder/${relative(dirname(path), one)}"`);
  const lines = ["#!/bin/sh", 'folder=$(dirname "$0")', `exec ${String(interpreter)} ${String(target)} "$@"`, ""];
  await replace(path, async (fresh) => {
    await writeFile(fresh, lines.join("\n"));
    await chmod(fresh, 0o755);
  });
}

/** Another command may be using what is replaced, so it is never away and never half there. */
async function replace(path: string, make: (fresh: string) => Promise<unknown>): Promise<void> {
  const fresh = `${path}.${String(process.pid)}`;
  await rm(fresh, { recursive: true, force: true });
  await make(fresh);
  await rename(fresh, path);
}

const replaceLink = async (target: string, path: string): Promise<void> =>
  replace(path, async (fresh) => symlink(target, fresh));

/** A second name of the same file, or a copy where they are on two file systems. */
const linkHard = async (target: string, path: string): Promise<void> =>
  replace(path, async (fresh) =>
    link(target, fresh).catch(async (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
      await copyFile(target, fresh);
    }),
  );
