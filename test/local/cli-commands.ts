// The commands of the local cloud: npm run up, down, output, logs and env.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { assertCleanedUp } from "./cleanup-check.ts";
import { cloudEnvironment, isCloudRunning, startCloud, stopCloud } from "./cloud.ts";
import { isCloudInUse, withCloudLock } from "./exclusive.ts";
import { helperLog } from "./helper-log.ts";
import { LocalCloudError } from "./process.ts";
import { say, step } from "./progress.ts";
import { destroy, outputs, stackExists, up } from "./pulumi/stack-commands.ts";
import { preparePulumi } from "./pulumi/toolchain.ts";
import { binaries, home, kubeconfig } from "./settings.ts";
import { forgetStack, openStack, parseOverride, saveOverrides, stackNames, type Stack } from "./stack.ts";

/** The options of the command line; each command uses some of them. */
export interface Options {
  /** The name of the stack. */
  stack: string;
  /** Overrides of the stack's configuration, each `KEY=VALUE`. */
  config: string[];
  json: boolean;
  follow: boolean;
  /** The name of an output. */
  name: string | undefined;
}

/** The commands by name. They reject with LocalCloudError where the message is for the user. */
export const commands: Readonly<Record<string, (options: Options) => Promise<void>>> = {
  up: async (options) => withCloudLock(async () => upCommand(options)),
  down: async (options) => withCloudLock(async () => downCommand(options)),
  output: outputCommand,
  logs: logsCommand,
  env: envCommand,
};

async function upCommand({ stack: name, config }: Options): Promise<void> {
  const overrides = config.map(parseOverride);
  // In parallel, because neither build keeps every core busy all the time.
  await Promise.all([startCloud(), preparePulumi()]);
  useCloud();
  const stack = openStack(name, overrides);
  showOverrides(stack);
  await up(stack);
  saveOverrides(stack);
  const log = await helperLog(await outputs(stack));
  if (log === undefined) return void say("The helper's pod does not run yet. Its log, later: npm run logs");
  print("The helper's first lines:");
  for (const line of log.trim().split("\n").slice(0, 10)) print(`    ${line}`);
}

function showOverrides({ overrides }: Stack): void {
  const overridden = Object.entries(overrides)
    .filter(([key]) => key !== "aws:secretKey")
    // A multi-line value may be the content of a kubeconfig, which may hold a token.
    .map(([key, value]) => `${key}=${/[\n{]/.test(String(value)) ? "[content]" : JSON.stringify(value)}`);
  if (overridden.length > 0)
    say(`Overrides of Pulumi.dev.yaml, kept until down where this succeeds: ${overridden.join(" ")}`);
}

async function downCommand({ stack: name }: Options): Promise<void> {
  if (!existsSync(home)) return void say("Nothing to take down: the local cloud does not run.");
  if (!isCloudRunning()) {
    await step("clearing what a crash left", stopCloud);
    return void say("The local cloud had crashed, and its AWS with it; what was left is cleared.");
  }
  const others = stackNames().filter((one) => one !== name);
  // A stack that was destroyed but left something behind keeps its folder, so that the next down checks it again.
  const isKnown = stackNames().includes(name);
  useCloud();
  if (isKnown) await destroyStack(name, others);
  else say(`There is no stack ${name}.`);
  forgetStack(name);
  if (isCloudInUse()) others.push("a test run");
  if (others.length > 0) return void say(`The local cloud goes on for ${others.join(", ")}.`);
  await step("stopping the local cloud", stopCloud);
}

async function destroyStack(name: string, others: readonly string[]): Promise<void> {
  const stack = openStack(name);
  await preparePulumi();
  await destroy(stack);
  await step("checking that nothing is left of it", async () =>
    assertCleanedUp(
      stack,
      others.map((one) => openStack(one)),
    ),
  );
  say(`Stack ${name} is destroyed and left nothing in AWS, the registry or the cluster.`);
}

async function outputCommand({ stack: name, json, name: wanted }: Options): Promise<void> {
  const all = await outputsOf(name);
  if (wanted === undefined) {
    if (json) return void print(JSON.stringify(all, undefined, 2));
    for (const [key, value] of Object.entries(all)) print(`${key}: ${shown(value)}`);
    return;
  }
  if (!(wanted in all)) {
    throw new LocalCloudError(`Stack ${name} has no output ${wanted}; it has ${Object.keys(all).join(", ")}.`);
  }
  print(json ? JSON.stringify(all[wanted]) : shown(all[wanted]));
}

async function logsCommand({ stack: name, follow }: Options): Promise<void> {
  const { namespace, deployment } = await outputsOf(name);
  const args = [
    "--namespace",
    String(namespace),
    "logs",
    `deployment/${String(deployment)}`,
    `--follow=${String(follow)}`,
  ];
  const child = spawn(join(binaries, "kubectl"), ["--kubeconfig", kubeconfig, ...args], { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  process.exitCode = code ?? 1;
}

async function envCommand(): Promise<void> {
  requireCloud();
  await preparePulumi();
  const { PATH = "", ...rest } = cloudEnvironment();
  // The rest of PATH is left to the shell, so that later changes of it take effect.
  const ownFolders = PATH.split(delimiter).slice(0, 2).join(delimiter);
  const all = { ...rest, PULUMI_STACK: "dev", ...configFileOfDev() };
  for (const [key, value] of Object.entries(all)) print(`export ${key}='${value}'`);
  print("unset AWS_PROFILE");
  print(`export PATH='${ownFolders}':"$PATH"`);
}

/**
 * Makes pulumi commands in the user's shell read the configuration of stack dev with its overrides, or with another platform than
 * Pulumi.dev.yaml has. Where there is neither, they read Pulumi.dev.yaml itself.
 */
function configFileOfDev(): Record<string, string> {
  if (!stackExists("dev")) return {};
  const { overrides, configFile } = openStack("dev");
  return Object.keys(overrides).length === 0 && process.arch === "x64" ? {} : { PULUMI_OPTION_CONFIG_FILE: configFile };
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const shown = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** Makes this process, and the programs that it starts, use the local cloud from now on. */
const useCloud = (): void => void Object.assign(process.env, cloudEnvironment());

function requireCloud(): void {
  if (!isCloudRunning()) throw new LocalCloudError("The local cloud does not run. Remedy: npm run up.");
}

async function outputsOf(name: string): Promise<Record<string, unknown>> {
  requireCloud();
  useCloud();
  if (!stackExists(name)) throw new LocalCloudError(`There is no stack ${name}. Remedy: npm run up.`);
  const all = await outputs(openStack(name));
  if (Object.keys(all).length > 0) return all;
  throw new LocalCloudError(`Stack ${name} has no outputs yet: no up of it has ended well. Remedy: npm run up.`);
}
