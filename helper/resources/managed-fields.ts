// Detects outside changes from an object's metadata alone: the API server records for every field which manager wrote it last.
// https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
import type { Secret } from "./types.ts";
import { fieldManager } from "../shared/ownership.ts";
import { asRecord, isString, asArray } from "../runtime/shape.ts";
import type { ManagedFields } from "../kube/types.ts";

/** A tree of fields as in `fieldsV1`: keys are `f:NAME` for a field and `k:{...}` for an item of a list. */
export interface Fields {
  readonly [key: string]: Fields;
}

/** The fields that the helper owns after it applied this secret, except its owner references, which are compared by themselves. */
export function fieldsOf({ metadata, data }: Secret): Fields {
  const { labels = {}, annotations = {} } = metadata;
  const asLeaves = (keys: readonly string[]): Fields => Object.fromEntries(keys.map((key) => [key, {}]));
  const namesOf = (object: object): Fields => asLeaves(Object.keys(object).map((key) => `f:${key}`));
  return {
    "f:type": {},
    "f:data": namesOf(data),
    "f:metadata": {
      "f:labels": namesOf(labels),
      "f:annotations": namesOf(annotations),
    },
  };
}

/** Whether `found` contains all wanted fields. Clients can write `found`, so it may be anything. */
function containsFields(found: unknown, wanted: Fields): boolean {
  if (typeof found !== "object" || found === null) return false;
  for (const key in wanted) {
    if (!Object.hasOwn(found, key) || !containsFields((found as Fields)[key], wanted[key] ?? {})) return false;
  }
  return true;
}

/**
 * The field manager that changed or removed one of these fields after the helper had applied them, taken to be the one that wrote
 * last. Undefined while the helper still owns them all. `entries` is `metadata.managedFields`, in which any value may be invalid.
 */
export function conflictingManager(entries: unknown, wanted: Fields): string | undefined {
  const all = asArray(entries).map((entry): ManagedFields => asRecord(entry));
  const own = all.find(({ manager, operation }) => manager === fieldManager && operation === "Apply");
  if (containsFields(own?.fieldsV1, wanted)) return undefined;
  const timeOf = ({ time }: ManagedFields): string => (isString(time) ? time : "");
  const [last] = all.filter((entry) => entry !== own).sort((a, b) => timeOf(b).localeCompare(timeOf(a)));
  return isString(last?.manager) ? last.manager.slice(0, maxName) : "an unknown field manager";
}

/** The longest name of a field manager that the API server accepts, in characters. */
const maxName = 128;
