// The rights with which the bench's own writers write the secrets that a helper is compared by.
import { kubeOptionsOf } from "../support/kube-options.ts";
import { makeParts, type Parts, type PartsOptions } from "../support/stack-parts.ts";

/** Where a writer writes, with whose token, and as which helper. */
export type Writer = Pick<Parts, "options" | "env" | "removeFromAws">;

/**
 * Creates a second stack, with other names for its secrets, whose service account the bench's own writers use: the API server
 * checks and audits their requests as it does a helper's, but not those of an administrator.
 */
export async function createWriter(id: string, options: PartsOptions): Promise<Writer> {
  const parts = await makeParts([`${id}-*`], {
    ...options,
    config: { basicAuthSecret: "raw", pullSecret: "raw-pull" },
  });
  const { admin, cluster, env } = parts;
  // Reading secrets, as other tools do, needs more rights than a helper has.
  const body = {
    metadata: { name: `${id}-writer` },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ kind: "ServiceAccount", name: "ecr-helper", namespace: env["ECR_HELPER_NAMESPACE"] }],
  };
  await admin({ method: "POST", path: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body });
  return { ...parts, options: kubeOptionsOf(cluster) };
}
