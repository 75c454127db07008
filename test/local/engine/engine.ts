// The seam behind which a stack is provisioned: by the pulumi command, or in this process. infra/ knows of neither.
import { say } from "../progress.ts";
import type { Stack } from "../stack.ts";

export type EngineName = "pulumi" | "in-process";

export interface Engine {
  readonly name: EngineName;
  /** Makes the stack what its program and configuration say, and tells what changed. Rejects with one clear error. */
  up(stack: Stack): Promise<void>;
  /** Deletes all of the stack. */
  destroy(stack: Stack): Promise<void>;
  outputs(stack: Stack): Promise<Record<string, unknown>>;
}

export interface Summary {
  created: number;
  updated: number;
  replaced: number;
  deleted: number;
  unchanged: number;
}

/** Says what an update did, in the order and words of Pulumi's own summary. */
export function printSummary(summary: Summary): void {
  say("Resources:");
  for (const [what, count] of Object.entries(summary)) if (count > 0) say(`    ${String(count)} ${what}`);
}
