// Which of a stack's helpers holds the Lease.
import { waitForObject } from "../local/watch.ts";
import type { Parts } from "./stack-parts.ts";

interface Lease {
  readonly spec: { readonly holderIdentity?: string };
}

/** Resolves with the first of these, by the names of their pods, that holds the Lease; rejects after `timeout` milliseconds. */
export async function waitForHolder<T extends { readonly pod: string }>(
  { options, env }: Parts,
  wanted: readonly T[],
  timeout = 60_000,
): Promise<T> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${String(env["ECR_HELPER_NAMESPACE"])}/leases`;
  const holderOf = ({ spec }: Lease): T | undefined => wanted.find(({ pod }) => pod === spec.holderIdentity);
  const lease = await waitForObject<Lease>(options, path, (one) => holderOf(one) !== undefined, timeout);
  const holder = holderOf(lease);
  if (holder === undefined) throw new Error("unreachable: one of these holds the lease");
  return holder;
}
