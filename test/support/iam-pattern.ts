// Matches the resources of an IAM policy, independently of the patterns in infra/.

/** Whether a resource of a policy, with `*` for any characters and `?` for one, matches an ARN. */
export function matchesArn(resource: string, arn: string): boolean {
  const pattern = resource
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${pattern}$`).test(arn);
}
