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
  const roles = allRegistryRoles(rights).length + groupRoleArns(rights, rights.own).length;
  const why = `the policy would have ${String(size)} characters`;
  if (sizeOfPolicy({ ...rights, ...empty }) > maxPolicySize / 2) {
    const [key, list] =
      rights.groups.length > 0 ? (["groups", rights.groups] as const) : (["registries", rights.registryRoles] as const);
    const limit = `for ${counted(roles, "role", "roles")} and the lists of the stack, and IAM takes ${String(maxPolicySize)}`;
    config.addListMistake(key, list, `fewer roles, or a second stack for some of them: ${why} ${limit}`);
    return;
  }
  const sizeOf = (key: RightsKey): number => sizeOfPolicy({ ...rights, ...empty, [key]: rights[key] });
  const [largest] = [...rightsKeys].sort((one, other) => sizeOf(other) - sizeOf(one));
  const key = largest ?? "pullRepositories";
  const names = new Set(rightsKeys.flatMap((one) => rights[one])).size;
  const registries = registriesOf(rights).length;
  config.addListMistake(
    key,
    rights[key],
    `fewer or broader patterns, or a second stack for some of the registries: ${why} ` +
      `for ${counted(names, "name", "names")} in ${counted(registries, "registry", "registries")}` +
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
