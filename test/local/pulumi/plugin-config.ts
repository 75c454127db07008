// The configuration of a provider as the engine sends it: strings, which are JSON for other types, with secrets marked.
import type { DiffKind, DiffResult } from "./diff.ts";
import type { Plugin } from "./plugin.ts";
import { isSame, plainProperties, secret, unknown, type Properties } from "./values.ts";

/** Keys that the engine adds to every explicit provider. */
const engineKeys = ["version", "pluginDownloadURL", "pluginChecksums", "parameterization"];

/** The configuration in plain text, with its JSON parsed and without unknown values. */
export const configOf = (properties: Properties): Properties =>
  Object.fromEntries(
    Object.entries(plainProperties(properties))
      .filter(([key, value]) => !key.startsWith("__") && !engineKeys.includes(key) && value !== unknown)
      .map(([key, value]) => [key, parsed(value)]),
  );

/** Values that are not strings are JSON (PropertyMap encoding of provider configuration in pulumi's own SDKs). */
function parsed(value: unknown): unknown {
  if (typeof value !== "string" || !/^(\{.*\}|\[.*\]|true|false)$/s.test(value.trim())) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** The configuration with its secrets marked. */
export const withSecrets = <Session>({ secretConfig }: Plugin<Session>, properties: Properties): Properties =>
  Object.fromEntries(
    Object.entries(properties).map(([key, value]) => [
      key,
      secretConfig.includes(key) && value !== unknown ? secret(value) : value,
    ]),
  );

/** The difference between two configurations. A provider is always updated in place. */
export function configChanges(old: Properties, next: Properties): DiffResult {
  const [before, after] = [configOf(old), configOf(next)];
  const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (key) => !isSame(before[key], after[key]),
  );
  const kind = (key: string): DiffKind => (!(key in before) ? "ADD" : key in after ? "UPDATE" : "DELETE");
  const detailed = Object.fromEntries(changed.map((key) => [key, kind(key)]));
  return { changes: changed.length > 0, detailed, replaces: [], deleteBeforeReplace: false };
}
