// Global set-up of `npm test`: the local cloud, found or started, and Pulumi; the cloud is stopped again when nothing else
// uses it.
import { startCloud, stopCloud } from "./local/cloud.ts";
import { runStartVariable } from "./local/audit-log.ts";
import { withCloudLock, isCloudInUse, holdCloud } from "./local/exclusive.ts";
import { preparePulumi } from "./local/pulumi/toolchain.ts";
import { stackNames } from "./local/stack.ts";

let started = false;
let release = (): void => undefined;

export const globalSetup = async (): Promise<void> => {
  release = await holdCloud();
  [started] = await withCloudLock(async () => Promise.all([startCloud(), preparePulumi()]));
  // For the tests that judge what all others before them have left behind (test/whole-run).
  process.env[runStartVariable] = new Date().toISOString();
};

export const globalTeardown = async (): Promise<void> => {
  release();
  await withCloudLock(async () => {
    if (started && stackNames().length === 0 && !isCloudInUse()) await stopCloud();
  });
};
