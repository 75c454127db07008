// Whether what the helper wrote is still as it wrote it, told from an object's metadata alone: the API server records
// for every field who wrote it last. https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
import type { Secret } from "./desired.ts";
import { fieldManager } from "./ownership.ts";

/** An entry of metadata.managedFields. */
export interface ManagedFields {
  readonly manager?: string;
  readonly operation?: string;
  readonly time?: string;
  readonly fieldsV1?: Fields;
}

/** A tree of fields: keys are `f:NAME` for a field, `k:{...}` for an item of a list. */
export interface Fields {
  readonly [key: string]: Fields;
}

/** The fields of a secret as the helper applies it. */
export function fieldsOf({ metadata, data }: Secret): Fields {
  const { labels = {}, annotations = {}, ownerReferences = [] } = metadata;
  const leaves = (keys: readonly string[]): Fields => Object.fromEntries(keys.map((key) => [key, {}]));
  const named = (object: object): Fields => leaves(Object.keys(object).map((key) => `f:${key}`));
  const owners = ownerReferences.map((owner) => `k:{"uid":${JSON.stringify((owner as { uid: string }).uid)}}`);
  return {
    "f:type": {},
    "f:data": named(data),
    "f:metadata": {
      "f:labels": named(labels),
      "f:annotations": named(annotations),
      "f:ownerReferences": leaves(owners),
    },
  };
}

/** Whether all wanted fields are there. */
function has(fields: Fields | undefined, wanted: Fields): boolean {
  if (fields === undefined) return false;
  for (const key in wanted) if (!has(fields[key], wanted[key] ?? {})) return false;
  return true;
}

/**
 * Who took one of these fields from the helper, changed or removed: the name of the manager that wrote last. Undefined
 * when the helper still has them all.
 */
export function otherWriter(entries: readonly ManagedFields[], wanted: Fields): string | undefined {
  const own = entries.find(({ manager, operation }) => manager === fieldManager && operation === "Apply");
  if (has(own?.fieldsV1, wanted)) return undefined;
  const [last] = entries.filter((entry) => entry !== own).sort((a, b) => (b.time ?? "").localeCompare(a.time ?? ""));
  return last?.manager ?? "somebody who left no name";
}
