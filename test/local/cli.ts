// npm run up | down | output | logs | env: the local cloud and the stack in it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";
import { createKubeClient } from "../../helper/kube/client.ts";
import { cloudEnvironment, isCloudRunning, startCloud, stopCloud } from "./cloud.ts";
import { withCloudLock, isCloudInUse } from "./exclusive.ts";
import { checkMachine } from "./install.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { assertCleanedUp } from "./cleanup-check.ts";
import { binaries, home, kubeconfig } from "./settings.ts";
import { LocalCloudError } from "./process.ts";
import { say, step } from "./progress.ts";
import { destroy, stackExists, outputs, up } from "./pulumi/stack-commands.ts";
import { preparePulumi } from "./pulumi/toolchain.ts";
import { forgetStack, saveOverrides, openStack, parseOverride, stackNames } from "./stack.ts";
import { waitForObject } from "./watch.ts";

const usage = `usage: npm run up     [-- [-c KEY=VALUE]... [--stack NAME]]
       npm run output [-- [NAME] [--json] [--stack NAME]]
       npm run logs   [-- [--follow] [--stack NAME]]
       npm run -s env
       npm run down   [-- [--stack NAME]]`;

interface Options {
  stack: string;
  config: string[];
  json: boolean;
  follow: boolean;
  name: string | undefined;
}

const commands: Record<string, (options: Options) => Promise<void>> = {
  up: async ({ stack: name, config }) =>
    withCloudLock(async () => {
      const overrides = config.map(parseOverride);
      // Either may have to be built, which is not all work for every core.
      await Promise.all([startCloud(), preparePulumi()]);
      useCloud();
      const stack = openStack(name, overrides);
      const overridden = Object.entries(stack.overrides)
        .filter(([key]) => key !== "aws:secretKey")
        // The content of a kubeconfig may hold a token.
        .map(([key, value]) => `${key}=${/[\n{]/.test(String(value)) ? "[content]" : JSON.stringify(value)}`);
      if (overridden.length > 0)
        say(`Overrides of Pulumi.dev.yaml, kept until down where this succeeds: ${overridden.join(" ")}`);
      await up(stack);
      saveOverrides(stack);
      const log = await helperLog(await outputs(stack));
      if (log === undefined) return void say("The helper's pod does not run yet. Its log, later: npm run logs");
      print("The helper's first lines:");
      for (const line of log.trim().split("\n").slice(0, 10)) print(`    ${line}`);
    }),

  down: async ({ stack: name }) =>
    withCloudLock(async () => {
      if (!existsSync(home)) return void say("Nothing to take down: the local cloud does not run.");
      if (!isCloudRunning()) {
        await step("clearing what a crash left", stopCloud);
        return void say("The local cloud had crashed, and its AWS with it; what was left is cleared.");
      }
      const [all, others] = [stackNames(), stackNames().filter((one) => one !== name)];
      useCloud();
      // One that is destroyed and left something is known until nothing is left.
      if (!all.includes(name)) say(`There is no stack ${name}.`);
      else {
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
      forgetStack(name);
      if (isCloudInUse()) others.push("a test run");
      if (others.length > 0) return void say(`The local cloud goes on for ${others.join(", ")}.`);
      await step("stopping the local cloud", stopCloud);
    }),

  output: async ({ stack: name, json, name: wanted }) => {
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
  },

  logs: async ({ stack: name, follow }) => {
    const { namespace, deployment } = await outputsOf(name);
    const what = [
      "--namespace",
      String(namespace),
      "logs",
      `deployment/${String(deployment)}`,
      `--follow=${String(follow)}`,
    ];
    const child = spawn(join(binaries, "kubectl"), ["--kubeconfig", kubeconfig, ...what], { stdio: "inherit" });
    const [code] = (await once(child, "exit")) as [number | null];
    process.exitCode = code ?? 1;
  },

  env: async () => {
    requireCloud();
    await preparePulumi();
    const { PATH = "", ...rest } = cloudEnvironment();
    // Folders of this shell's own PATH stay behind these, even where it changes.
    const ahead = PATH.split(delimiter).slice(0, 2).join(delimiter);
    const all = { ...rest, PULUMI_STACK: "dev", ...overriding() };
    for (const [key, value] of Object.entries(all)) print(`export ${key}='${value}'`);
    print("unset AWS_PROFILE");
    print(`export PATH='${ahead}':"$PATH"`);
  },
};

/** Where stack dev has overrides, or another platform, pulumi by hand reads them, too; else it reads Pulumi.dev.yaml as it is. */
function overriding(): Record<string, string> {
  if (!stackExists("dev")) return {};
  const { overrides, configFile } = openStack("dev");
  return Object.keys(overrides).length === 0 && process.arch === "x64" ? {} : { PULUMI_OPTION_CONFIG_FILE: configFile };
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const shown = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** From here on this process, and what it starts, speaks to the local cloud. */
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

interface Pod {
  metadata: { name: string; deletionTimestamp?: string };
  status: { phase: string };
}

/** How long a pod that does not run yet is waited for, in milliseconds: of identity node pulumi itself waits for none. */
const podTimeout = 30_000;

/** What the helper has said so far; undefined where its pod does not run. */
async function helperLog({ namespace, deployment }: Record<string, unknown>): Promise<string | undefined> {
  const options = readKubeconfig(kubeconfig);
  const selector = encodeURIComponent(`app.kubernetes.io/name=${String(deployment)}`);
  const pods = `/api/v1/namespaces/${String(namespace)}/pods`;
  const runs = ({ metadata, status }: Pod): boolean =>
    status.phase === "Running" && metadata.deletionTimestamp === undefined;
  const pod = await waitForObject<Pod>(options, `${pods}?labelSelector=${selector}`, runs, podTimeout).catch(
    () => undefined,
  );
  if (pod === undefined) return undefined;
  return createKubeClient(options)<string>({ method: "GET", path: `${pods}/${pod.metadata.name}/log` });
}

function readArguments(): [command: string, options: Options] {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      stack: { type: "string", default: "dev" },
      config: { type: "string", short: "c", multiple: true, default: [] },
      json: { type: "boolean", default: false },
      follow: { type: "boolean", short: "f", default: false },
    },
  });
  const [command = "", name] = positionals;
  return [command, { ...values, name }];
}

try {
  const [command, options] = readArguments();
  const run = commands[command];
  if (run === undefined) throw new LocalCloudError(usage);
  checkMachine(process.platform, process.getuid?.());
  // The user's own is in none of the files that are read here.
  delete process.env["AWS_PROFILE"];
  await run(options);
} catch (error) {
  // A mistake of the user's or of the machine's is told in its own words; anything else is ours, and its origin helps.
  const { message, stack, code } = error as NodeJS.ErrnoException;
  const usageError = code?.startsWith("ERR_PARSE_ARGS") === true;
  const expected = error instanceof LocalCloudError || usageError;
  say(expected ? message : (stack ?? String(error)));
  if (usageError) say(usage);
  process.exitCode = 1;
}
