// The error of a wrong stack configuration, for tests that do not run the program.
import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import type { Registry } from "../../infra/registry.ts";
import { configure, ownRegistry } from "./program.ts";

/** The message of the one error for a configuration on top of the defaults; empty if it is valid. */
export function configError(overrides: Record<string, string>, own: Registry = ownRegistry): string {
  configure(overrides);
  try {
    readConfig(own);
  } catch (error) {
    assert.ok(error instanceof pulumi.RunError, "an error that Pulumi shows without a stack trace");
    return error.message;
  }
  return "";
}

/** The lines of that error for a configuration of a cluster, none if it is valid. A list stands for its JSON. */
export function mistakesOf(
  given: Readonly<Record<string, string | readonly string[]>>,
  own: Registry = ownRegistry,
): string[] {
  const texts = Object.entries(given).map(([key, value]): [string, string] => [
    key,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  return configError({ kubeconfig: "Pulumi.yaml", ...Object.fromEntries(texts) }, own)
    .split("\n  ")
    .slice(1);
}

/** Asserts that a configuration has exactly one mistake, and that its line starts with the expected text. */
export function assertOneMistake(overrides: Record<string, string>, expected: string): void {
  const [, mistake, ...others] = configError(overrides).split("\n  ");
  assert.ok(mistake?.startsWith(`ecr-helper:${expected}`), `${expected} in ${String(mistake)}`);
  assert.deepEqual(others, [], expected);
}
