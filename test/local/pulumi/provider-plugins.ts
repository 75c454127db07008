// The plugins of Pulumi's providers: official ones, a built one for Kubernetes, or the stand-ins of this repository.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { buildGo } from "../go-build.ts";
import { run, succeeds } from "../process.ts";
import { step } from "../progress.ts";
import { replaceLink, writeProgram } from "./program-files.ts";
import type { PreparedCommand } from "./pulumi-command.ts";
import { project, pulumiCommand, pulumiHome, userHome } from "./pulumi-home.ts";

/** The providers that the program uses, by the names of their npm packages. */
export const providers = ["kubernetes", "aws", "docker"] as const;
type ProviderName = (typeof providers)[number];

/** Where a plugin comes from, as it is shown to the user. */
type Origin = "official" | "built from Go modules" | "stand-in of this repository";

const versionOfPackage = (name: ProviderName): string => {
  const manifest = join(project, "node_modules/@pulumi", name, "package.json");
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
};

/** The file in which the origin of a provider's plugin is recorded. */
const originFile = (name: ProviderName): string =>
  join(pulumiHome, `resource-${name}-v${versionOfPackage(name)}.origin`);

/** Where a provider's plugin comes from; undefined before it is prepared for the first time. */
export const originOfPlugin = (name: ProviderName): Origin | undefined =>
  existsSync(originFile(name)) ? (readFileSync(originFile(name), "utf8") as Origin) : undefined;

/** Provides a provider's plugin in the version of its npm package, and describes it: `v7.0.0 (official)`. */
export async function preparePlugin(name: ProviderName, command: PreparedCommand): Promise<string> {
  const version = versionOfPackage(name);
  const plugin = `resource-${name}-v${version}`;
  const folder = join(pulumiHome, "plugins", plugin);
  const program = join(folder, `pulumi-resource-${name}`);
  // The engine would also accept the plugin of another version.
  for (const other of existsSync(dirname(folder)) ? readdirSync(dirname(folder)) : []) {
    if (other.startsWith(`resource-${name}-`) && !other.startsWith(plugin)) {
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

/** The official plugin is used where it is installed or can be downloaded, which only an official command does. */
async function originOf(name: ProviderName, version: string, command: PreparedCommand): Promise<Origin> {
  const plugin = `resource-${name}-v${version}`;
  const folder = join(pulumiHome, "plugins", plugin);
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
  const env = { ...process.env, PULUMI_HOME: pulumiHome, PULUMI_SKIP_UPDATE_CHECK: "true" };
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
