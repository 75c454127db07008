// What the stack makes of its groups: their roles, and the logins that their namespaces get.
import { ownFirst, type Group, type GroupRegistry } from "../helper/shared/groups.ts";
import type { RegistryRole, RegistryRoleWithHosts } from "../helper/shared/registry-logins.ts";
import type { GroupConfig } from "./config/groups.ts";
import type { AssumedRoleConfig, IamOptions } from "./config/identity.ts";
import type { RegistriesConfig } from "./config/registries.ts";
import { roleArn } from "./iam-arns.ts";
import { groupPolicy, type HelperPolicy, type ImageRights } from "./image-rights.ts";
import type { Registry } from "./registry.ts";

/** The parts of the configuration that the groups come from. */
export interface GroupsConfig extends Pick<IamOptions, "path"> {
  readonly groups: readonly GroupConfig[];
}

/** The ARN of a group's own role; undefined if it has none. */
const groupRoleArn = ({ role }: GroupConfig, { path }: GroupsConfig, own: Registry): string | undefined =>
  role && roleArn(role.roleName, { path }, own);

/** The ARNs of the groups' own roles. */
export const groupRoleArns = (config: GroupsConfig, own: Registry): string[] =>
  config.groups.flatMap((group) => groupRoleArn(group, config, own) ?? []);

/** The groups' own roles with their policies, by the group's name. */
export const groupRoles = (
  { groups, repositoryName }: Pick<GroupsConfig, "groups"> & Pick<ImageRights, "repositoryName">,
  own: Registry,
): Readonly<Record<string, AssumedRoleConfig & { readonly policy: HelperPolicy }>> =>
  Object.fromEntries(
    groups.flatMap(({ role, ...group }) =>
      role === undefined ? [] : [[group.name, { ...role, policy: groupPolicy({ ...group, repositoryName, own }) }]],
    ),
  );

/** The groups as the helper gets them. `ownHost` is the usual host of the stack's own registry. */
export const groupsOf = (config: GroupsConfig, own: Registry, ownHost: string): readonly Group[] =>
  config.groups.map((group) => {
    const { name, namespaces, registries, registryRoles } = group;
    const ofGroup = groupRoleArn(group, config, own);
    const ownRole =
      ofGroup === undefined ? [] : [{ roleArn: ofGroup, sessionTags: {}, hosts: [ownHost, ...registries] }];
    const ofRole = ({ hosts, ...role }: RegistryRoleWithHosts): GroupRegistry[] =>
      hosts.map((host) => ({ host, ...role }));
    return { name, namespaces, registries: ownFirst([...ownRole, ...registryRoles].flatMap(ofRole), ownHost) };
  });

/** The roles that ask for tokens of registries, of the stack and of its groups, each once. */
export function allRegistryRoles({
  registryRoles,
  groups,
}: Pick<RegistriesConfig, "registryRoles"> & Pick<GroupsConfig, "groups">): readonly RegistryRole[] {
  const all = [{ registryRoles }, ...groups].flatMap((one) => one.registryRoles);
  return all.filter((one, index) => all.findIndex(({ roleArn: other }) => other === one.roleArn) === index);
}
