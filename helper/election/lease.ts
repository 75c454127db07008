// The Lease by which helpers decide which one works, as an object of the API and as the elector reads it.
// https://kubernetes.io/docs/concepts/architecture/leases/
import type { HelperConfig } from "../config/helper-config.ts";
import type { KubeObject } from "../kube/types.ts";
import { asRecord, isString } from "../runtime/shape.ts";
import { annotationPrefix, ownMetadata } from "../shared/ownership.ts";

/** The times of the election, in milliseconds: those of Kubernetes' own components. */
export const leaseTimes = {
  /** A Lease that was not renewed for so long is free. */
  duration: 15_000,
  /** A holder that could not renew it for so long writes nothing more: the rest is reserve for what it has sent already. */
  renewDeadline: 10_000,
  /** The time between renewals, and between attempts to acquire it. */
  retryPeriod: 2_000,
} as const;

/** What a Lease says. */
export interface LeaseRecord {
  /** The pod that holds it; "" for none. */
  readonly holder: string;
  /** The pod template of the holder, by its hash. */
  readonly template: string;
  /** The pod that asks the holder for the Lease; "" for none. */
  readonly candidate: string;
  /** How long it is valid after it was renewed, in milliseconds. */
  readonly duration: number;
  /** When the holder acquired and renewed it, by the holder's clock: told, and compared with itself only. */
  readonly acquiredAt: string;
  readonly renewedAt: string;
  /** How often the holder has changed. */
  readonly transitions: number;
}

const templateKey = `${annotationPrefix}template`;
const candidateKey = `${annotationPrefix}candidate`;

/** The path of the helpers' Lease, which has the name of their Deployment. */
export const leasePath = (config: HelperConfig): string => `${leasesPath(config)}/${config.deployment}`;

/** The path of the collection that has this Lease only. */
export const leaseCollection = (config: HelperConfig): string =>
  `${leasesPath(config)}?fieldSelector=${encodeURIComponent(`metadata.name=${config.deployment}`)}`;

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
    duration: 1_000 * numberOf(spec["leaseDurationSeconds"]),
    acquiredAt: textOf(spec["acquireTime"]),
    renewedAt: textOf(spec["renewTime"]),
    transitions: numberOf(spec["leaseTransitions"]),
  };
}

/** The Lease to write. With a resourceVersion it replaces that very version; without one it is created. */
export function leaseObject(
  config: HelperConfig,
  record: LeaseRecord,
  ownerReferences: readonly object[],
  resourceVersion: string | undefined,
): object {
  const { holder, template, candidate, duration, acquiredAt, renewedAt, transitions } = record;
  const annotations = { [templateKey]: template, ...(candidate === "" ? {} : { [candidateKey]: candidate }) };
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { ...ownMetadata(config, config.deployment), annotations, ownerReferences, resourceVersion },
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: duration / 1_000,
      acquireTime: acquiredAt,
      renewTime: renewedAt,
      leaseTransitions: transitions,
    },
  };
}

/** A time in milliseconds since 1970 as Kubernetes' MicroTime. */
export const microTime = (milliseconds: number): string => new Date(milliseconds).toISOString().replace("Z", "000Z");
