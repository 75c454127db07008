// The global set-up of `npm test`: starts the local cloud unless it is running, and provides Pulumi. A cloud that was started here is
// stopped at the end, unless something else uses it.
import { startCloud, stopCloud } from "./local/cloud.ts";
import { runStartVariable } from "./local/audit-log.ts";
import { createCutChain } from "./local/firewall.ts";
import { withCloudLock, isCloudInUse, holdCloud } from "./local/exclusive.ts";
import { installPackages } from "./local/install.ts";
import { preparePulumi } from "./local/pulumi/toolchain.ts";
import { stackNames } from "./local/stack.ts";

let started = false;
let release = (): void => undefined;

/** Called by node:test before all test files. */
export const globalSetup = async (): Promise<void> => {
  const isShared = isCloudInUse();
  release = await holdCloud();
  [started] = await withCloudLock(async () => Promise.all([startCloud(), preparePulumi()]));
  // The cuts of tests that were killed, while the cloud went on.
  if (!isShared) await createCutChain();
  // Commands of the pages pipe JSON through it.
  await withCloudLock(async () => installPackages({ jq: "jq" }));
  // For the tests that check the audit log of the whole run (test/whole-run).
  process.env[runStartVariable] = new Date().toISOString();
};

/** Called by node:test after all test files. */
export const globalTeardown = async (): Promise<void> => {
  release();
  await withCloudLock(async () => {
    if (started && stackNames().length === 0 && !isCloudInUse()) await stopCloud();
  });
};
