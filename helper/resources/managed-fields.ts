// Detects outside changes from an object's metadata alone: the API server records for every field which manager wrote it last.
// https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
import type { OwnerReference } from "./owners.ts";
import type { Secret } from "./types.ts";
import { fieldManager, updateManager } from "../shared/ownership.ts";
import { asRecord, isString, asArray } from "../runtime/shape.ts";
import type { ManagedFields } from "../kube/types.ts";

/** A tree of fields as in `fieldsV1`: keys are `f:NAME` for a field and `k:{...}` for an item of a list. */
export interface Fields {
  readonly [key: string]: Fields;
}

/** A tree of fields as a client may have written it. */
type Tree = Readonly<Record<string, unknown>>;

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

/** An entry of `metadata.managedFields` that the helper writes itself. */
export interface ManagedFieldsEntry {
  readonly manager: string;
  readonly operation: "Update";
  readonly apiVersion: string;
  readonly fieldsType: "FieldsV1";
  readonly fieldsV1: Fields;
}

/** The entry of a secret that the helper alone has written, with these owners. */
export const managedFieldsOf = (secret: Secret, owners: readonly OwnerReference[]): ManagedFieldsEntry => {
  const fields = fieldsOf(secret);
  const references = Object.fromEntries(owners.map(({ uid }) => [`k:${JSON.stringify({ uid })}`, {}]));
  const metadata = { ...fields["f:metadata"], ...(owners.length > 0 && { "f:ownerReferences": references }) };
  return {
    manager: updateManager,
    operation: "Update",
    apiVersion: secret.apiVersion,
    fieldsType: "FieldsV1",
    fieldsV1: { ...fields, "f:metadata": metadata },
  };
};

/** How an object's managed fields compare with those that the helper wants to own. */
export interface Ownership {
  /** The field manager that changed or removed one of them, taken to be the one that wrote last; undefined while the helper owns them all. */
  readonly modifiedBy: string | undefined;
  /** Whether there is, or may be, anything in the object that the helper has not written. */
  readonly isShared: boolean;
  /**
   * The merge patch, as JSON, that removes what the helper wrote earlier and does not want any more; "" for none. It is computed for a
   * shared object only: any other is replaced whole.
   */
  readonly removal: string;
}

/** The metadata that says who wrote an object. Clients can write it, so any value may be invalid. */
export interface WrittenMetadata {
  readonly labels?: unknown;
  readonly annotations?: unknown;
  readonly finalizers?: unknown;
  readonly managedFields?: unknown;
}

/** Compares an object's metadata with the fields that the helper wants to own. */
export function compareOwnership(metadata: WrittenMetadata, wanted: Fields): Ownership {
  const all = asArray(metadata.managedFields).map((entry): ManagedFields => asRecord(entry));
  // After an update of a shared object some fields are part of that, and the others of an apply.
  const own = all.filter(isOwnEntry).map(({ fieldsV1 }) => asRecord(fieldsV1));
  const others = all.filter((entry) => !isOwnEntry(entry));
  const [isIntact, isShared] = [containFields(own, wanted), others.length > 0 || hasMore(metadata, own)];
  return {
    modifiedBy: isIntact ? undefined : lastOf(others),
    isShared,
    removal: isIntact && isShared ? removalOf(own, wanted) : "",
  };
}

/**
 * Whether there are labels, annotations or finalizers that nobody owns, as a mutating webhook adds them, or whether nobody owns anything
 * because somebody has reset the managed fields.
 */
const hasMore = ({ labels, annotations, finalizers }: WrittenMetadata, own: readonly Tree[]): boolean =>
  own.length === 0 ||
  asArray(finalizers).length > 0 ||
  hasOtherKeys(labels, own, maps.labels) ||
  hasOtherKeys(annotations, own, maps.annotations);

function hasOtherKeys(map: unknown, own: readonly Tree[], path: readonly string[]): boolean {
  const fields = own.map((tree) => subtree(tree, path));
  return Object.keys(asRecord(map)).some((key) => !fields.some((one) => Object.hasOwn(one, `f:${key}`)));
}

/** Whether the trees together contain all wanted fields. Clients can write them, so that anything may be in them. */
function containFields(trees: readonly Tree[], wanted: Fields): boolean {
  for (const key in wanted) {
    const found = trees.filter((tree) => Object.hasOwn(tree, key)).map((tree) => tree[key]);
    if (!found.some((one) => typeof one === "object" && one !== null)) return false;
    if (!containFields(found.map(asRecord), wanted[key] ?? {})) return false;
  }
  return true;
}

/** Whether the helper has written it: it applies under one name and updates under another, so that it knows who uses only one of them. */
const isOwnEntry = ({ manager, operation }: ManagedFields): boolean =>
  (manager === fieldManager && operation === "Apply") || (manager === updateManager && operation === "Update");

/** The manager that wrote last. */
function lastOf(entries: readonly ManagedFields[]): string {
  const timeOf = ({ time }: ManagedFields): string => (isString(time) ? time : "");
  const [last] = [...entries].sort((a, b) => timeOf(b).localeCompare(timeOf(a)));
  return isString(last?.manager) ? last.manager.slice(0, maxName) : "an unknown field manager";
}

/** The maps of a secret whose keys the helper writes, by their path in a tree of fields. */
const maps = {
  labels: ["f:metadata", "f:labels"],
  annotations: ["f:metadata", "f:annotations"],
  data: ["f:data"],
} as const;

const subtree = (tree: Tree, path: readonly string[]): Tree => path.reduce((found, key) => asRecord(found[key]), tree);

function removalOf(own: readonly Tree[], wanted: Fields): string {
  const [labels, annotations, data] = [maps.labels, maps.annotations, maps.data].map((path) => {
    const kept = subtree(wanted, path);
    const keys = own.flatMap((tree) => Object.keys(subtree(tree, path)));
    return keys.filter((key) => key.startsWith("f:") && !Object.hasOwn(kept, key)).map((key) => [key.slice(2), null]);
  });
  if ([labels, annotations, data].flat().length === 0) return "";
  const nulls = (some: typeof labels = []): object => Object.fromEntries(some) as object;
  const patch = { metadata: { labels: nulls(labels), annotations: nulls(annotations) }, data: nulls(data) };
  const json = JSON.stringify(patch);
  return json.length > maxRemoval ? "" : json;
}

/** The longest removal, in characters, as it is kept: two annotations for each of 50 registries. */
const maxRemoval = 1 << 12;

/** The longest name of a field manager that the API server accepts, in characters. */
const maxName = 128;
