// Global set-up of `npm test`: the local cloud, found or started, and Pulumi; the cloud is stopped again when nothing else
// uses it.
import { startCloud, stopCloud } from "./local/cloud.ts";
import { runSince } from "./local/audit-log.ts";
import { exclusively, isCloudKept, keepCloud } from "./local/exclusive.ts";
import { preparePulumi } from "./local/pulumi/toolchain.ts";
import { stackNames } from "./local/stack.ts";

let started = false;
let release = (): void => undefined;

export const globalSetup = async (): Promise<void> => {
  release = await keepCloud();
  [started] = await exclusively(async () => Promise.all([startCloud(), preparePulumi()]));
  // For the tests that judge what all others before them have left behind (test/whole-run).
  process.env[runSince] = new Date().toISOString();
};

export const globalTeardown = async (): Promise<void> => {
  release();
  await exclusively(async () => {
    if (started && stackNames().length === 0 && !isCloudKept()) await stopCloud();
  });
};
