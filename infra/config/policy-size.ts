// Checks the size of the policies that the stack makes of its lists.
import { repositoryName as nameOfRepository } from "./aws-names.ts";
import type { ConfigReader } from "./reader.ts";
import { rightsKeys, type RightsKey } from "./rights.ts";
import { assumeGrants, type AssumedRoles } from "../assumed-roles.ts";
import { allRegistryRoles, groupRoleArns } from "../groups.ts";
import { helperPolicy, maxPolicySize, pushPolicy, registriesOf } from "../image-rights.ts";
import type { HelperPolicy, ImageRights } from "../image-rights.ts";

/** Reports a policy that is too large, as a mistake in the list that takes most of it. */
export function checkPolicySize(config: ConfigReader, rights: ImageRights & AssumedRoles): void {
  if (!nameOfRepository.test(rights.repositoryName)) return; // The reader has reported it.
  const sizeOfPolicy = (lists: ImageRights): number => JSON.stringify(policyOf({ ...rights, ...lists })).length;
  const size = sizeOfPolicy(rights);
  if (size <= maxPolicySize) return;
  const empty = { pullRepositories: [], pushRepositories: [], pullThroughCache: [] };
  const sizeOf = (key: RightsKey): number => sizeOfPolicy({ ...rights, ...empty, [key]: rights[key] });
  const [largest] = [...rightsKeys].sort((one, other) => sizeOf(other) - sizeOf(one));
  const key = largest ?? "pullRepositories";
  const names = new Set(rightsKeys.flatMap((one) => rights[one])).size;
  const registries = registriesOf(rights).length;
  const roles = allRegistryRoles(rights).length + groupRoleArns(rights, rights.own).length;
  config.addListMistake(
    key,
    rights[key],
    `fewer or broader patterns, or a second stack for some of the registries: the policy would have ${String(size)} ` +
      `characters for ${counted(names, "name", "names")} in ${counted(registries, "registry", "registries")}` +
      `${roles === 0 ? "" : ` and for ${counted(roles, "role", "roles")}`}, and IAM takes ${String(maxPolicySize)}`,
  );
}

/** The larger of the policies. */
function policyOf(rights: ImageRights & AssumedRoles): HelperPolicy {
  const own = helperPolicy(rights, assumeGrants(rights, rights.own));
  if (rights.pushRepositories.length === 0) return own;
  const push = pushPolicy(rights);
  return JSON.stringify(own).length > JSON.stringify(push).length ? own : push;
}

const counted = (count: number, one: string, many: string): string => `${String(count)} ${count === 1 ? one : many}`;
