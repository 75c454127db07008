// Global set-up of `npm test`: the local cloud, found or started; stopped again when nothing else uses it.
import { startCloud, stopCloud } from "./local/cloud.ts";
import { exclusively, isCloudKept, keepCloud } from "./local/exclusive.ts";
import { stackNames } from "./local/stack.ts";

let started = false;
let release = (): void => undefined;

export const globalSetup = async (): Promise<void> => {
  release = await keepCloud();
  started = await exclusively(startCloud);
};

export const globalTeardown = async (): Promise<void> => {
  release();
  await exclusively(async () => {
    if (started && stackNames().length === 0 && !isCloudKept()) await stopCloud();
  });
};
