// The pulumi command: an official one, or one that is built.
import { existsSync, readFileSync } from "node:fs";
import { access, constants, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { buildGo, isAtLeast } from "../go-build.ts";
import { run, succeeds } from "../process.ts";
import { step } from "../progress.ts";
import { replaceHardLink, replaceLink, writeProgram } from "./program-files.ts";
import { isCheckoutFolder, project, pulumiCommand, pulumiFolder, userHome } from "./pulumi-home.ts";

/** The version that is built where no official command is available; the registry of Go modules has to have it. */
const commandVersion = "v3.274.1";

/** The oldest version that runs the program; Pulumi.yaml requires the same. */
const oldestCommand = "3.265.0";

/** The command that this checkout uses. */
export interface PreparedCommand {
  /** As it is shown to the user: `v3.274.1 (built from Go modules)`. */
  readonly description: string;
  readonly origin: "official" | "built from Go modules";
  /** Why it is not another command; empty where there is nothing to explain. */
  readonly reason: string;
}

/** Provides the pulumi command: the official one where it is installed or can be downloaded, else one built from Go modules. */
export async function prepareCommand(): Promise<PreparedCommand> {
  const reasons: string[] = [];
  for (const find of [installedCommand, downloadedCommand]) {
    const found = await find(reasons);
    if (found === undefined) continue;
    await rm(join(pulumiFolder, "pulumi-language-nodejs"), { force: true });
    await replaceLink(found.path, pulumiCommand);
    return {
      description: `v${found.version} (official, ${found.path})`,
      origin: "official",
      reason: reasons.join(" "),
    };
  }
  await buildCommand();
  const origin = "built from Go modules";
  return { description: `${commandVersion} (${origin})`, origin, reason: reasons.join(" ") };
}

async function buildCommand(): Promise<void> {
  const { pulumi = "" } = await buildGo({
    name: "pulumi",
    version: commandVersion,
    title: `building pulumi ${commandVersion} from Go modules (3 to 5 minutes, once)`,
    source: join(import.meta.dirname, "command"),
    programs: { pulumi: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi" },
    variables: { "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": commandVersion },
  });
  // A symbolic link would not do: the command looks for its language host beside the file that the link points to.
  await replaceHardLink(pulumi, pulumiCommand);
  await writeProgram(join(pulumiFolder, "pulumi-language-nodejs"), "language-host.ts");
}

/** A pulumi command that works. */
export interface Command {
  readonly path: string;
  readonly version: string;
}

/**
 * The first usable pulumi command on PATH. npm's shim, which every npm script has first on PATH, and commands that a checkout put
 * together do not count. Adds to `reasons` why a command is not used.
 */
export async function installedCommand(reasons: string[]): Promise<Command | undefined> {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const foreign = folders.filter((folder) => !/node_modules\/\.bin\/?$/.test(folder) && !isCheckoutFolder(folder));
  for (const path of foreign.map((folder) => join(folder, "pulumi"))) {
    if (!(await succeeds(access(path, constants.X_OK)))) continue;
    const version = await versionOf(path);
    if (version !== undefined && isAtLeast(version, oldestCommand)) return { path, version };
    reasons.push(
      `${path} is ${version === undefined ? "not a pulumi command that works" : `v${version}`}, and v${oldestCommand} or newer is needed: update it to have it used.`,
    );
  }
  return undefined;
}

/** The command that npm's shim has downloaded, or downloads now. Adds to `reasons` why it cannot. */
async function downloadedCommand(reasons: string[]): Promise<Command | undefined> {
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
      reasons.push(`No official command is installed, and none can be downloaded here (${failure}).`);
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
    (output) => /^v?(\d+\.\d+\.\d+)/.exec(output.trim())?.[1],
    () => undefined,
  );
