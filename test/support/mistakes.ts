// What the stack's configuration says of mistakes in it, for tests that register nothing.
import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import type { Registry } from "../../infra/registry.ts";
import { configure, ownRegistry } from "./program.ts";

/** The lines of the one error; none of a configuration that is right. A list stands for its JSON. */
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
