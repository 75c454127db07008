// The error of a wrong stack configuration, for tests that register nothing.
import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import { configure, ownRegistry } from "./program.ts";

/** The message of the one error for a configuration on top of the defaults; empty if it is valid. */
export function configError(overrides: Record<string, string>): string {
  configure(overrides);
  try {
    readConfig(ownRegistry);
  } catch (error) {
    assert.ok(error instanceof pulumi.RunError, "an error that Pulumi shows without a stack trace");
    return error.message;
  }
  return "";
}

/** Asserts that a configuration has exactly one mistake, and that its line starts with the expected text. */
export function assertOneMistake(overrides: Record<string, string>, expected: string): void {
  const [, mistake, ...others] = configError(overrides).split("\n  ");
  assert.ok(mistake?.startsWith(`ecr-helper:${expected}`), `${expected} in ${String(mistake)}`);
  assert.deepEqual(others, [], expected);
}
