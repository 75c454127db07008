// Who may use the repository of the helper's image, as a pure document.
import type { Registry } from "./registry.ts";

/** The actions that the origin's repository policy allows. */
const actions = [
  "ecr:BatchCheckLayerAvailability",
  "ecr:BatchDeleteImage",
  "ecr:BatchGetImage",
  "ecr:CompleteLayerUpload",
  "ecr:DeleteRepository",
  "ecr:DeleteRepositoryPolicy",
  "ecr:DescribeRepositories",
  "ecr:GetDownloadUrlForLayer",
  "ecr:GetRepositoryPolicy",
  "ecr:InitiateLayerUpload",
  "ecr:ListImages",
  "ecr:PutImage",
  "ecr:SetRepositoryPolicy",
  "ecr:UploadLayerPart",
];

/**
 * The policy of a repository in the registry, as JSON: for account ids, IAM ARNs or `*`, and for the own account where there
 * are none. The own account is named by its root: a principal that was made a moment ago would be refused as not found.
 */
export function repositoryPolicy(principals: readonly string[], { partition, accountId }: Registry): string {
  const own = `arn:${partition}:iam::${accountId}:root`;
  const principal = principals.includes("*") ? "*" : { AWS: principals.length === 0 ? [own] : principals };
  const statement = { Sid: "new policy", Effect: "Allow", Principal: principal, Action: actions };
  return JSON.stringify({ Version: "2008-10-17", Statement: [statement] });
}
