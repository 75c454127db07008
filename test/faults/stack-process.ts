// Brings a stack up or down by the in-process engine, in a process that ends at a given point as by SIGKILL: nothing of
// its own runs after it. Its standard input names what to do, so that it can be started before that is known.
import { writeSync } from "node:fs";
import { text } from "node:stream/consumers";
import { cloudEnvironment } from "../local/cloud.ts";
import { inProcess } from "../local/engine/in-process.ts";
import { LiveResources } from "../local/engine/live.ts";
import { StateFile, type ResourceState } from "../local/engine/state.ts";
import { claim, keepOverrides, openStack, parseOverride } from "../local/stack.ts";

export interface Orders {
  readonly command: "up" | "destroy";
  readonly stack: string;
  /** KEY=VALUE, as after `-c`. */
  readonly settings: readonly string[];
  /**
   * It dies at the first of these: `made TYPE NAME` when a resource is made or changed and the state does not know it yet,
   * `recorded` when it does, `deleted` when a resource is gone and the state does not know it yet.
   */
  readonly points: readonly string[];
  /** Carries out one resource at a time, in the program's order, so that the points come in that order, too. */
  readonly oneByOne: boolean;
}

const given = await text(process.stdin);
if (given === "") process.exit(); // It is not needed.
const { command, stack: name, settings, points, oneByOne } = JSON.parse(given) as Orders;

function reach(what: string, { type, name: resource }: ResourceState): void {
  const point = `${what} ${type} ${resource}`;
  if (!points.includes(point)) return;
  writeSync(1, point);
  process.kill(process.pid, "SIGKILL");
}

/* eslint-disable @typescript-eslint/unbound-method -- called on what they belong to */
const { put, remove } = StateFile.prototype;
const { carryOut } = LiveResources.prototype;
/* eslint-enable @typescript-eslint/unbound-method */

StateFile.prototype.put = function (resource): void {
  const isWhole = resource.creating === undefined;
  if (isWhole) reach("made", resource);
  put.call(this, resource);
  if (isWhole) reach("recorded", resource);
};

StateFile.prototype.remove = function (resource): void {
  if (this.all.includes(resource)) reach("deleted", resource);
  remove.call(this, resource);
};

if (oneByOne) {
  let last: Promise<unknown> = Promise.resolve();
  LiveResources.prototype.carryOut = async function (registration): Promise<ResourceState> {
    const made = last.then(async () => carryOut.call(this, registration));
    last = made;
    return made;
  };
}

Object.assign(process.env, cloudEnvironment());
const stack = openStack(name, settings.map(parseOverride));
claim(stack, inProcess.name);
keepOverrides(stack);
try {
  await inProcess[command](stack);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
