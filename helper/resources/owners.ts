// The owner references of the helper's objects: pure functions that compare and complete those to the stack's owners, and never
// touch one to another owner.
import { asArray, asRecord, isString } from "../runtime/shape.ts";
import { ownerKind, ownerNames } from "../shared/ownership.ts";
import type { HelperConfig } from "../config/helper-config.ts";

/** A reference to one of the stack's owners, as Kubernetes wants it. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** A uid as Kubernetes makes it. Anyone can write another one into a reference, of any length. */
const uidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** So many uids are kept of an object: more than it ever has, unless somebody adds some. */
const maxUids = 8;

/** A reference to the owner of this name and uid. */
export const ownerReference = (name: string, uid: string): OwnerReference => ({ ...ownerKind, name, uid });

/** Whether a reference names one of the stack's owners. That owner may be gone, or have another uid by now. */
export function isOwnerReference(config: HelperConfig, reference: unknown): boolean {
  const { apiVersion, kind, name } = asRecord(reference);
  return apiVersion === ownerKind.apiVersion && kind === ownerKind.kind && ownerNames(config).includes(String(name));
}

/** The uids of the stack's owners in an object's references, sorted and comma-separated; "" for none. */
export function ownerUids(config: HelperConfig, references: unknown): string {
  const uids = asArray(references)
    .filter((one) => isOwnerReference(config, one))
    .map((one) => asRecord(one)["uid"])
    .filter((uid): uid is string => isString(uid) && uidPattern.test(uid));
  return [...new Set(uids)].slice(0, maxUids).sort().join();
}

/**
 * Whether an object with the uids `found` has every owner in `wanted`. Beside one that exists, Kubernetes itself takes the
 * reference to a lost owner away; without any it would delete the object.
 */
export const hasOwners = (found: string, wanted: string): boolean =>
  found === wanted || (wanted !== "" && wanted.split(",").every((uid) => found.includes(uid)));

/** An object's references with those to the stack's owners replaced by these. */
export const withOwners = (config: HelperConfig, references: unknown, owners: readonly OwnerReference[]): object[] => [
  ...asArray(references).filter((one): one is object => !isOwnerReference(config, one)),
  ...owners,
];
