// The defaults in Pulumi.yaml, which Pulumi hands to the program as if somebody had set them.
import { readFileSync } from "node:fs";

/** The default of a key of one line; empty for a key without one. */
export function defaultOf(key: string): string {
  const declared = new RegExp(`\\n {2}${key}:\\n(?: {4}.*\\n)*? {4}default: (.*)\\n`);
  return declared.exec(readFileSync("Pulumi.yaml", "utf8"))?.[1] ?? "";
}
