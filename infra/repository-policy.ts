// The policy of the helper's repository: who may pull its image.
import { pullActions } from "./image-rights.ts";
import type { Registry } from "./registry.ts";

/**
 * The repository policy, as JSON. The principals are account ids, IAM ARNs or `*`; without any, the registry's own
 * account. They may only pull, while the origin script also let them push, delete and set this policy. The own account
 * is named by its root, as ECR rejects a principal that was created a moment ago as not found.
 */
export function repositoryPolicy(principals: readonly string[], { partition, accountId }: Registry): string {
  const own = `arn:${partition}:iam::${accountId}:root`;
  const principal = principals.includes("*") ? "*" : { AWS: principals.length === 0 ? [own] : principals };
  const statement = { Sid: "new policy", Effect: "Allow", Principal: principal, Action: pullActions };
  return JSON.stringify({ Version: "2008-10-17", Statement: [statement] });
}
