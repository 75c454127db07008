// Global set-up of `npm test`: the local cloud, found or started; stopped again when nothing else uses it.
import { startCloud, stopCloud } from "./local/cloud.ts";
import { exclusively } from "./local/exclusive.ts";
import { stackNames } from "./local/stack.ts";

let started = false;

export const globalSetup = async (): Promise<void> => {
  started = await exclusively(startCloud);
};

export const globalTeardown = async (): Promise<void> => {
  if (started && stackNames().length === 0) await exclusively(stopCloud);
};
