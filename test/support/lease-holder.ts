// Which of a stack's helpers holds the Lease.
import type { KubeOptions } from "../../helper/kube/client.ts";
import { waitForObject } from "../local/watch.ts";
import type { Parts } from "./stack-parts.ts";

/** A Lease, with what the tests look at. */
export interface Lease {
  readonly spec: { readonly holderIdentity?: string; readonly acquireTime?: string };
}

/** The path of the collection that has the Lease of the helpers in a namespace only. */
export const leaseCollection = (namespace: string): string =>
  `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases?fieldSelector=metadata.name%3Decr-helper`;

/** Resolves with the pod that holds the Lease once `wanted` accepts it; rejects after `timeout` milliseconds. */
export async function waitForHolder(
  options: KubeOptions,
  namespace: string,
  wanted: (pod: string) => boolean,
  timeout: number,
): Promise<string> {
  const holderOf = ({ spec }: Lease): string => spec.holderIdentity ?? "";
  const path = leaseCollection(namespace);
  return holderOf(await waitForObject<Lease>(options, path, (lease) => wanted(holderOf(lease)), timeout));
}

/** Resolves with the first of these, by the names of their pods, that holds the Lease; rejects after a minute. */
export async function waitForHolderAmong<T extends { readonly pod: string }>(
  { options, env }: Parts,
  wanted: readonly T[],
): Promise<T> {
  const find = (pod: string): T | undefined => wanted.find((one) => one.pod === pod);
  const namespace = String(env["ECR_HELPER_NAMESPACE"]);
  const holder = find(await waitForHolder(options, namespace, (pod) => find(pod) !== undefined, 60_000));
  if (holder === undefined) throw new Error("unreachable: one of these holds the lease");
  return holder;
}
