// The Lease by which helpers decide which one works, as an object of the API and as the elector reads it.
// https://kubernetes.io/docs/concepts/architecture/leases/
import type { HelperConfig } from "../config/helper-config.ts";
import { nameSelector } from "../kube/object-ref.ts";
import type { KubeObject, ObjectMeta } from "../kube/types.ts";
import { asRecord, isString } from "../runtime/shape.ts";
import { annotationPrefix, ownMetadata } from "../shared/ownership.ts";

/**
 * The times of the election, in milliseconds: those of Kubernetes' own components, with a second less, so that a new namespace
 * is served within 15 seconds after the holder has vanished. They hold whatever a Lease says: its field for
 * the duration can be edited, and a holder stops in time for this one only.
 */
export const leaseTimes = {
  /** A Lease that was not renewed for so long is free. */
  duration: 14_000,
  /** A holder that could not renew it for so long writes nothing more: the rest is reserve for what it has sent already. */
  renewDeadline: 9_000,
  /** The time between renewals, and between attempts to acquire it. */
  retryPeriod: 2_000,
} as const;

/** How long a helper that ends tries to give the Lease up, in milliseconds: otherwise it ends by itself. */
export const releaseTimeout = 700;

/** What a Lease says. */
export interface LeaseRecord {
  /** The pod that holds it; "" for none. */
  readonly holder: string;
  /** The pod template of the holder, by its hash; while the Lease is lent, that of the pod that lent it. */
  readonly template: string;
  /** The pod that asks the holder for the Lease; "" for none. */
  readonly candidate: string;
  /** The pod that the holder lends the Lease to once it has written everything, to remove what the holder does not keep; "" for none. */
  readonly cleaner: string;
  /** While the Lease is lent: what the pod that lent it keeps and has written, by a hash; otherwise "". */
  readonly written: string;
  /** When the holder acquired and renewed it, by the holder's clock: only whether they change counts. */
  readonly acquiredAt: string;
  readonly renewedAt: string;
  /** How often the holder has changed. */
  readonly transitions: number;
}

/** The holder of a Lease that was put back: nobody can tell which helper held it last. */
export const unknownHolder = "unknown";

/** What a helper knows of a Lease that it has never seen, and that may have been created and deleted meanwhile. */
export const unknownLease: LeaseRecord = {
  holder: unknownHolder,
  template: "",
  candidate: "",
  cleaner: "",
  written: "",
  acquiredAt: "",
  renewedAt: "",
  transitions: 0,
};

const templateKey = `${annotationPrefix}template`;
const candidateKey = `${annotationPrefix}candidate`;
const cleanerKey = `${annotationPrefix}cleaner`;
const writtenKey = `${annotationPrefix}written`;

/** The path of the helpers' Lease, which has the name of their Deployment. */
export const leasePath = (config: HelperConfig): string => `${leasesPath(config)}/${config.deployment}`;

/** The path of the collection that has this Lease only. */
export const leaseCollection = (config: HelperConfig): string =>
  `${leasesPath(config)}?${nameSelector(config.deployment)}`;

const leasesPath = ({ namespace }: HelperConfig): string =>
  `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;

/** Reads a Lease. A field that is missing or has another type counts as empty. */
export function readLease(lease: KubeObject): LeaseRecord {
  const spec = asRecord(asRecord(lease)["spec"]);
  const annotations = asRecord(asRecord(lease.metadata)["annotations"]);
  const textOf = (value: unknown): string => (isString(value) ? value : "");
  const numberOf = (value: unknown): number => (typeof value === "number" && value >= 0 ? value : 0);
  return {
    holder: textOf(spec["holderIdentity"]),
    template: textOf(annotations[templateKey]),
    candidate: textOf(annotations[candidateKey]),
    cleaner: textOf(annotations[cleanerKey]),
    written: textOf(annotations[writtenKey]),
    acquiredAt: textOf(spec["acquireTime"]),
    renewedAt: textOf(spec["renewTime"]),
    transitions: numberOf(spec["leaseTransitions"]),
  };
}

/**
 * What a write replaces. The uid belongs to it: a PUT with the resourceVersion alone of a Lease that was deleted would create
 * another one.
 */
export type LeaseVersion = Pick<ObjectMeta, "uid" | "resourceVersion">;

/** The largest number of `leaseTransitions`, which has 32 bits. */
const maxTransitions = 2 ** 31 - 1;

/** The Lease to write. With a version it replaces that very one; without it is created. */
export function leaseObject(
  config: HelperConfig,
  record: LeaseRecord,
  ownerReferences: readonly object[],
  version: LeaseVersion | undefined,
): object {
  const { holder, template, candidate, cleaner, written, acquiredAt, renewedAt, transitions } = record;
  const optional = { [candidateKey]: candidate, [cleanerKey]: cleaner, [writtenKey]: written };
  const given = Object.entries(optional).filter(([, value]) => value !== "");
  const annotations = { [templateKey]: template, ...Object.fromEntries(given) };
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { ...ownMetadata(config, config.deployment), annotations, ownerReferences, ...version },
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: leaseTimes.duration / 1_000,
      acquireTime: acquiredAt === "" ? undefined : acquiredAt,
      renewTime: renewedAt === "" ? undefined : renewedAt,
      leaseTransitions: Math.min(transitions, maxTransitions),
    },
  };
}

/** A time in milliseconds since 1970 as Kubernetes' MicroTime. */
export const microTime = (milliseconds: number): string => new Date(milliseconds).toISOString().replace("Z", "000Z");
