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

/** Keys are `f:NAME` for a field, `k:{...}` for an item of a list. */
interface Fields {
  readonly [key: string]: Fields;
}

/** A field, by the keys that lead to it in an entry's `fieldsV1`. */
export type FieldPath = readonly string[];

/** The fields of a secret as the helper applies it. */
export function fieldPaths({ metadata, data }: Secret): FieldPath[] {
  const { labels = {}, annotations = {}, ownerReferences = [] } = metadata;
  const keys = (path: readonly string[], object: object): FieldPath[] =>
    Object.keys(object).map((key) => [...path, `f:${key}`]);
  const owners = ownerReferences.map((owner) => `k:{"uid":${JSON.stringify((owner as { uid: string }).uid)}}`);
  return [
    ["f:type"],
    ...keys(["f:data"], data),
    ...keys(["f:metadata", "f:labels"], labels),
    ...keys(["f:metadata", "f:annotations"], annotations),
    ...owners.map((owner) => ["f:metadata", "f:ownerReferences", owner]),
  ];
}

const has = (fields: Fields | undefined, path: FieldPath): boolean =>
  path.reduce<Fields | undefined>((at, key) => at?.[key], fields) !== undefined;

/**
 * Who took one of these fields from the helper, changed or removed: the name of the manager that wrote last. Undefined
 * when the helper still has them all.
 */
export function otherWriter(entries: readonly ManagedFields[], paths: readonly FieldPath[]): string | undefined {
  const own = entries.find(({ manager, operation }) => manager === fieldManager && operation === "Apply");
  if (paths.every((path) => has(own?.fieldsV1, path))) return undefined;
  const [last] = entries.filter((entry) => entry !== own).sort((a, b) => (b.time ?? "").localeCompare(a.time ?? ""));
  return last?.manager ?? "somebody who left no name";
}
