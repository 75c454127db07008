// Rejects the stack's own roles where it names those of others: it has the trust policies of its own, and one login for each.
import { pushRoleArn, type AssumedRoles } from "../assumed-roles.ts";
import { groupRoleArns } from "../groups.ts";
import { helperArn } from "../iam-arns.ts";
import type { Registry } from "../registry.ts";
import type { ConfigReader } from "./reader.ts";

/** Collects the mistakes in the roles of registries, of the stack and of its groups. */
export function rejectOwnRoles(config: ConfigReader, result: AssumedRoles, own: Registry): void {
  const made = [helperArn(result, own), pushRoleArn(result, own), ...groupRoleArns(result, own)];
  const check = (key: string, { registryRoles }: Pick<AssumedRoles, "registryRoles">): void => {
    for (const { roleArn } of registryRoles.filter((one) => made.includes(one.roleArn)))
      config.addMistake(key, roleArn, "a role that somebody else has made: this one is the stack's own");
  };
  check("registries", result);
  for (const group of result.groups) check("groups", group);
}
