// A stack whose commands run in processes of their own that can be made to die in the middle of them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { makeCheckout } from "../e2e/commands.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { recordSaid } from "../local/evidence.ts";
import { exclusively } from "../local/exclusive.ts";
import { proveNothingIsLeft } from "../local/leftovers.ts";
import { kubeconfig } from "../local/machine.ts";
import { forgetStack, openStack, parseOverride } from "../local/stack.ts";
import { runProgram } from "../program.ts";
import type { Orders } from "./stack-process.ts";

export interface Ended {
  /** Null where the process died. */
  readonly code: number | null;
  /** The point at which it died. */
  readonly point: string;
  readonly stderr: string;
  readonly milliseconds: number;
}

export interface RunOptions {
  readonly points?: readonly string[];
  readonly oneByOne?: boolean;
  /** On top of the stack's own. */
  readonly settings?: readonly string[];
}

export interface InterruptedStack {
  /** Those that live: `TYPE NAME`, in the program's order. */
  readonly resources: readonly string[];
  /** Runs a command again and again until it dies no more. Gives the points at which it died, and how it ended. */
  readonly run: (command: Orders["command"], options?: RunOptions) => Promise<Ended & { readonly died: string[] }>;
  readonly proveNothingIsLeft: () => Promise<void>;
  /** Forgets it, when nothing is left of it. */
  readonly forget: () => Promise<void>;
}

/** Gives a process its orders; none where it is not needed. */
type Start = (orders?: Orders) => Promise<Ended>;

/** Starts a process, which loads the engine and waits for its orders. */
function standBy(folder: string): Start {
  const program = join(folder, "test/faults/stack-process.ts");
  // Compiled once: half of what such a process costs.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, "compiled") };
  const child = spawn(process.execPath, [program], { cwd: folder, env, stdio: ["pipe", "pipe", "pipe"] });
  const said = Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return async (orders) => {
    const since = performance.now();
    child.stdin.end(orders === undefined ? "" : JSON.stringify(orders));
    const [point, stderr] = await said;
    recordSaid("commands", stderr);
    return { code: child.exitCode, point, stderr, milliseconds: Math.round(performance.now() - since) };
  };
}

/** Makes a stack by the given name, also of all that it makes, for one build namespace. Nothing of it is there yet. */
export async function makeStack(name: string, build: string): Promise<InterruptedStack> {
  Object.assign(process.env, cloudEnvironment());
  const { folder, remove } = await makeCheckout(name);
  const own = ["repositoryName", "policyName", "userName", "namespace"].map((key) => `${key}=${name}`);
  const ownSettings = [...own, `buildNamespaces=["${build}"]`];
  const { resources } = await runProgram({ kubeconfig, buildNamespaces: JSON.stringify([build]) });

  const run: InterruptedStack["run"] = async (command, { points = [], oneByOne = false, settings = [] } = {}) => {
    const died: string[] = [];
    for (let start = standBy(folder); ;) {
      const left = points.filter((point) => !died.includes(point));
      const next = left.length === 0 ? undefined : standBy(folder);
      const orders = { command, stack: name, settings: [...ownSettings, ...settings], points: left, oneByOne };
      const ended = await start(orders);
      if (ended.point === "" || next === undefined) {
        await next?.();
        return { ...ended, died };
      }
      died.push(ended.point);
      start = next;
    }
  };
  return {
    resources: resources
      .filter(({ type }) => !/^(pulumi|ecr-helper):/.test(type))
      .map((one) => `${one.type} ${one.name}`),
    run,
    proveNothingIsLeft: async () => proveNothingIsLeft(openStack(name, ownSettings.map(parseOverride)), []),
    forget: async () => {
      // A command of somebody else's that looks at all stacks would make its folder anew.
      await exclusively(async () => {
        forgetStack(name);
        return Promise.resolve();
      });
      await remove();
    },
  };
}
