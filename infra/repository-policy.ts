// Who may pull the helper's image, as a pure document.
import { pullActions } from "./image-rights.ts";
import type { Registry } from "./registry.ts";

/**
 * The policy of a repository in the registry, as JSON: for account ids, IAM ARNs or `*`, and for the own account where there
 * are none. They may pull, and nothing else: the origin let them push, delete, and set this policy as well. The own account is
 * named by its root: a principal that was made a moment ago would be refused as not found.
 */
export function repositoryPolicy(principals: readonly string[], { partition, accountId }: Registry): string {
  const own = `arn:${partition}:iam::${accountId}:root`;
  const principal = principals.includes("*") ? "*" : { AWS: principals.length === 0 ? [own] : principals };
  const statement = { Sid: "new policy", Effect: "Allow", Principal: principal, Action: pullActions };
  return JSON.stringify({ Version: "2008-10-17", Statement: [statement] });
}
