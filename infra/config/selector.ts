// Reads label selectors.
import type { ConfigReader } from "./reader.ts";
import { errorMessage } from "../../helper/shared/messages.ts";
import { parseSelector } from "../../helper/shared/namespace-rules.ts";

/** Reads a label selector; empty if it is not set. */
export function readSelector(config: ConfigReader, key: "namespaceSelector" | "serviceAccountSelector"): string {
  const selector = config.optional(key, /^/, "a label selector") ?? "";
  try {
    if (selector !== "") parseSelector(selector);
  } catch (error) {
    const why = config.isSecret(key) ? "" : `, but ${errorMessage(error)}`;
    config.addMistake(key, selector, `a label selector as kubectl has it${why}`);
  }
  return selector;
}
