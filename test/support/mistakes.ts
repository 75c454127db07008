// The errors that a wrong configuration of the stack produces, for tests that do not run the program.
import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import type { Registry } from "../../infra/registry.ts";
import { configure, ownRegistry } from "./program.ts";

/** The lines of the error for this configuration, none if it is valid. A list stands for its JSON. */
export function mistakesOf(
  given: Readonly<Record<string, string | readonly string[]>>,
  own: Registry = ownRegistry,
): string[] {
  const texts = Object.entries(given).map(([key, value]) => [
    key,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  configure({ kubeconfig: "Pulumi.yaml", ...(Object.fromEntries(texts) as Record<string, string>) });
  try {
    readConfig(own);
  } catch (error) {
    assert.ok(pulumi.RunError.isInstance(error), String(error));
    return error.message.split("\n  ").slice(1);
  }
  return [];
}
