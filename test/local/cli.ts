// npm run up | down | output | logs | env: the local cloud and the stack in it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { connect } from "../../helper/kube.ts";
import { cloudEnvironment, isCloudRunning, startCloud, stopCloud } from "./cloud.ts";
import type { Engine, EngineName } from "./engine/engine.ts";
import { pulumiCommand, pulumiVersion } from "./engine/pulumi.ts";
import { exclusively, isCloudKept } from "./exclusive.ts";
import { checkMachine } from "./install.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { proveNothingIsLeft } from "./leftovers.ts";
import { binaries, home, kubeconfig } from "./machine.ts";
import { LocalCloudError } from "./process.ts";
import { say, step } from "./progress.ts";
import { claim, forgetStack, keepOverrides, madeBy, openStack, parseOverride, stackNames } from "./stack.ts";

const usage = `usage: npm run up     [-- [-c KEY=VALUE]... [--engine pulumi|in-process] [--stack NAME]]
       npm run output [-- [NAME] [--json] [--stack NAME]]
       npm run logs   [-- [--follow] [--stack NAME]]
       npm run -s env
       npm run down   [-- [--stack NAME]]`;

interface Options {
  stack: string;
  config: string[];
  engine: string | undefined;
  json: boolean;
  follow: boolean;
  name: string | undefined;
}

const commands: Record<string, (options: Options) => Promise<void>> = {
  up: async ({ stack: name, config, engine: wanted }) =>
    exclusively(async () => {
      const overrides = config.map(parseOverride);
      await startCloud();
      useCloud();
      const stack = openStack(name, overrides);
      const engine = await chooseEngine(name, wanted);
      claim(stack, engine.name);
      const overridden = Object.entries(stack.overrides)
        .filter(([key]) => key !== "aws:secretKey")
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`);
      if (overridden.length > 0) say(`Overrides of Pulumi.dev.yaml, kept until down: ${overridden.join(" ")}`);
      await step(`provisioning stack ${name}`, async () => engine.up(stack));
      keepOverrides(stack);
      const outputs = await engine.outputs(stack);
      print("Outputs:");
      for (const [key, value] of Object.entries(outputs)) print(`    ${key}: ${shown(value)}`);
      print("The helper's first lines:");
      print(
        (await helperLog(outputs))
          .trim()
          .split("\n")
          .slice(0, 10)
          .map((line) => `    ${line}`)
          .join("\n"),
      );
    }),

  down: async ({ stack: name }) =>
    exclusively(async () => {
      if (!existsSync(home)) return void say("Nothing to take down: the local cloud does not run.");
      if (!isCloudRunning()) {
        await step("clearing what a crash left", stopCloud);
        return void say("The local cloud had crashed, and its AWS with it; what was left is cleared.");
      }
      const made = madeBy(name);
      const others = stackNames().filter((one) => one !== name);
      useCloud();
      if (made === undefined) say(`There is no stack ${name}.`);
      else {
        const stack = openStack(name);
        await step(`destroying stack ${name}`, async () => (await engineOf(made)).destroy(stack));
        // The stack's provider may have been somebody with fewer rights.
        useCloud();
        await step("checking that nothing is left of it", async () =>
          proveNothingIsLeft(
            stack,
            others.map((one) => openStack(one)),
          ),
        );
        say(`Stack ${name} is destroyed and left nothing in AWS, the registry or the cluster.`);
      }
      forgetStack(name);
      if (isCloudKept()) others.push("a test run");
      if (others.length > 0) return void say(`The local cloud goes on for ${others.join(", ")}.`);
      await step("stopping the local cloud", stopCloud);
    }),

  output: async ({ stack: name, json, name: wanted }) => {
    const outputs = await outputsOf(name);
    if (wanted === undefined) {
      if (json) return void print(JSON.stringify(outputs, undefined, 2));
      for (const [key, value] of Object.entries(outputs)) print(`${key}: ${shown(value)}`);
      return;
    }
    if (!(wanted in outputs)) {
      throw new LocalCloudError(`Stack ${name} has no output ${wanted}; it has ${Object.keys(outputs).join(", ")}.`);
    }
    print(json ? JSON.stringify(outputs[wanted]) : shown(outputs[wanted]));
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
    for (const [key, value] of Object.entries(cloudEnvironment())) print(`export ${key}='${value}'`);
    return Promise.resolve();
  },
};

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const shown = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** From here on this process, and what it starts, speaks to the local cloud. */
const useCloud = (): void => void Object.assign(process.env, cloudEnvironment());

function requireCloud(): void {
  if (!isCloudRunning()) throw new LocalCloudError("The local cloud does not run. Remedy: npm run up.");
}

// Imported when it is used: with it come Pulumi's SDK and a second of loading.
const engineOf = async (name: EngineName): Promise<Engine> =>
  name === "pulumi" ? pulumiCommand : (await import("./engine/in-process.ts")).inProcess;

/** The engine that made the stack, or the wanted one, or the pulumi command where it works. */
async function chooseEngine(stack: string, wanted: string | undefined): Promise<Engine> {
  if (wanted !== undefined && wanted !== "pulumi" && wanted !== "in-process") {
    throw new LocalCloudError(`--engine ${wanted}: expected pulumi or in-process.`);
  }
  const chosen = wanted ?? madeBy(stack);
  if (chosen !== undefined) return engineOf(chosen);
  const version = await step("looking for a pulumi command", pulumiVersion);
  say(
    version === undefined ? "Engine: in-process, because no pulumi command works here." : `Engine: pulumi ${version}.`,
  );
  return engineOf(version === undefined ? "in-process" : "pulumi");
}

async function outputsOf(name: string): Promise<Record<string, unknown>> {
  requireCloud();
  const made = madeBy(name);
  if (made === undefined) throw new LocalCloudError(`There is no stack ${name}. Remedy: npm run up.`);
  const outputs = await (await engineOf(made)).outputs(openStack(name));
  if (Object.keys(outputs).length > 0) return outputs;
  throw new LocalCloudError(`Stack ${name} has no outputs yet: no up of it has ended well. Remedy: npm run up.`);
}

async function helperLog({ namespace, deployment }: Record<string, unknown>): Promise<string> {
  const kube = connect(readKubeconfig(kubeconfig));
  const selector = encodeURIComponent(`app.kubernetes.io/name=${String(deployment)}`);
  const path = `/api/v1/namespaces/${String(namespace)}/pods`;
  const pods = await kube<{ items: { metadata: { name: string } }[] }>({
    method: "GET",
    path: `${path}?labelSelector=${selector}`,
  });
  const logs = pods.items.map(async ({ metadata }) =>
    kube<string>({ method: "GET", path: `${path}/${metadata.name}/log` }),
  );
  return (await Promise.all(logs)).join("");
}

function readArguments(): [command: string, options: Options] {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      stack: { type: "string", default: "dev" },
      config: { type: "string", short: "c", multiple: true, default: [] },
      engine: { type: "string" },
      json: { type: "boolean", default: false },
      follow: { type: "boolean", short: "f", default: false },
    },
  });
  const [command = "", name] = positionals;
  return [command, { ...values, engine: values.engine, name }];
}

try {
  const [command, options] = readArguments();
  const run = commands[command];
  if (run === undefined) throw new LocalCloudError(usage);
  checkMachine(process.platform, process.getuid?.());
  await run(options);
} catch (error) {
  // A mistake of the user's or of the machine's is told in its own words; anything else is ours, and its origin helps.
  const { message, stack, code, constructor } = error as NodeJS.ErrnoException;
  const usageError = code?.startsWith("ERR_PARSE_ARGS") === true;
  const expected = error instanceof LocalCloudError || constructor.name === "RunError" || usageError;
  say(expected ? message : (stack ?? String(error)));
  if (usageError) say(usage);
  process.exitCode = 1;
}
