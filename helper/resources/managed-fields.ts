// Whether what the helper wrote is still as it wrote it, told from an object's metadata alone: the API server records
// for every field who wrote it last. https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
import type { Secret } from "./types.ts";
import { fieldManager } from "../shared/ownership.ts";
import { asRecord, isString, asArray } from "../runtime/shape.ts";
import type { ManagedFields } from "../kube/types.ts";

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
function containsFields(found: unknown, wanted: Fields): boolean {
  if (typeof found !== "object" || found === null) return false;
  for (const key in wanted) {
    if (!Object.hasOwn(found, key) || !containsFields((found as Fields)[key], wanted[key] ?? {})) return false;
  }
  return true;
}

/**
 * Who took one of these fields from the helper, changed or removed: the name of the manager that wrote last. Undefined
 * when the helper still has them all.
 */
export function conflictingManager(entries: unknown, wanted: Fields): string | undefined {
  const all = asArray(entries).map((entry): ManagedFields => asRecord(entry));
  const own = all.find(({ manager, operation }) => manager === fieldManager && operation === "Apply");
  if (containsFields(own?.fieldsV1, wanted)) return undefined;
  const timeOf = ({ time }: ManagedFields): string => (isString(time) ? time : "");
  const [last] = all.filter((entry) => entry !== own).sort((a, b) => timeOf(b).localeCompare(timeOf(a)));
  return isString(last?.manager) ? last.manager.slice(0, maxName) : "somebody who left no name";
}

/** The API server takes no longer name of a manager. */
const maxName = 128;
