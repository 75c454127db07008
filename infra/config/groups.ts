// Reads the groups of build namespaces, each with logins of its own.
import { createGroupOf } from "../../helper/shared/groups.ts";
import { isDynamic, staticNamespaces, type NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import type { RegistryRole, RegistryRoleWithHosts } from "../../helper/shared/registry-logins.ts";
import { covers, groupPolicy, maxPolicySize, type RepositoryLists } from "../image-rights.ts";
import { hostOfRegistry, registryOfHost, type Registry } from "../registry.ts";
import { repositoryName as nameOfRepository } from "./aws-names.ts";
import { readAssumedRole, type AssumedRoleConfig } from "./identity.ts";
import { ItemReader, type Rule } from "./item-reader.ts";
import { createNamespaceRule } from "./may-match.ts";
import type { ConfigReader } from "./reader.ts";
import { entryForm, registryMistake } from "./registries.ts";
import { readEntry, rolesOf, type RegistryEntry } from "./registry-roles.ts";
import { createRightsRule, rightsKeys, type RightsContext } from "./rights.ts";

/** A group of build namespaces. Its lists are the rights of its own role. */
export interface GroupConfig extends RepositoryLists {
  readonly name: string;
  /** Names and patterns of its namespaces. */
  readonly namespaces: readonly string[];
  /** Hosts beside the usual one of the stack's own registry, which the group's own role asks for tokens. */
  readonly registries: readonly string[];
  /** Roles that ask for the tokens of further registries, with the hosts of these. */
  readonly registryRoles: readonly RegistryRoleWithHosts[];
  /** The group's own role, which also asks for the token of the stack's own registry; undefined if its lists are empty. */
  readonly role: AssumedRoleConfig | undefined;
}

/** What the groups depend on; the registries and roles are those of the stack itself. */
export interface GroupsContext extends Omit<RightsContext, "registries"> {
  readonly rules: NamespaceRules;
}

const key = "groups";
const fields = ["name", "namespaces", ...rightsKeys, "registries"];
const [oneList, namePattern] = [rightsKeys.join(", "), /^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$/];

/** Reads the groups, and collects the mistakes in them. */
export function readGroups(config: ConfigReader, context: GroupsContext): readonly GroupConfig[] {
  const items = config.objects(key, "groups, each with name, namespaces, and a list of repositories or registries");
  const groups: GroupConfig[] = [];
  const readers = items.map(([index, item]) => new ItemReader(config, key, index, item));
  for (const reader of readers) groups.push(readGroup(config, reader, context, groups));
  checkNamespaces(readers, groups, context.rules);
  if (items.length > 0 && config.explicitValue("identity") === "node") {
    const why = "every pod that reaches the nodes' metadata could log in as any group";
    config.addListMistake(key, items, `none with identity node: ${why}`);
  }
  return groups;
}

/** `others` are the groups before it. */
function readGroup(
  config: ConfigReader,
  item: ItemReader,
  context: GroupsContext,
  others: readonly GroupConfig[],
): GroupConfig {
  item.allowOnly(fields);
  const name = readName(item, others);
  const hasRole = rightsKeys.some((list) => item.isFilled(list));
  if (!hasRole && !item.isFilled("registries"))
    item.addMistake([], name, `a login: an entry in one of ${oneList}, or in registries`);
  const namespaces = readNamespaces(item, context.rules);
  const entries = readRegistries(item, config.explicitValue("identity"), context.own, hasRole);
  const elsewhere = [context, ...others].flatMap(({ registryRoles }): readonly RegistryRole[] => registryRoles);
  const registries = entries.filter(({ role }) => role === undefined).map(({ host }) => host);
  const registryRoles = rolesOf(entries, elsewhere);
  const lists = readLists(item, { ...context, registries, registryRoles });
  checkPolicySize(item, name, { ...context, ...lists, registries });
  const isNamed = hasRole && name !== "";
  const role = isNamed ? readAssumedRole(config, `-${name}`, "for the role of that group") : undefined;
  return { name, namespaces, ...lists, registries, registryRoles, role };
}

/** Empty where there is a mistake in its form. */
function readName(item: ItemReader, others: readonly GroupConfig[]): string {
  const form = "1 to 20 lower case letters, digits and -, with a letter or digit at both ends";
  const rule: Rule = (text) => {
    if (!namePattern.test(text)) return form;
    if (text === "push") return "another name: the role for pushRepositories has this suffix";
    return others.some(({ name }) => name === text) ? "each name once" : undefined;
  };
  const name = item.text("name", rule);
  if (!item.has("name")) item.addMistake(["name"], "", form);
  return name !== undefined && namePattern.test(name) ? name : "";
}

/** Empty where there is a mistake. */
function readNamespaces(item: ItemReader, rules: NamespaceRules): readonly string[] {
  const isOfUse = createNamespaceRule(rules);
  const rule: Rule = (text) =>
    text === rules.namespace
      ? "another namespace: the helper's own is in no group, as the helper's image is pulled there"
      : isOfUse(text);
  const namespaces = item.list("namespaces", rule) ?? [];
  if (!item.isFilled("namespaces"))
    item.addMistake(["namespaces"], item.has("namespaces") ? [] : "", "at least one name or pattern");
  return namespaces.every((one) => rule(one) === undefined) ? [...new Set(namespaces)] : [];
}

/**
 * Rejects names and patterns all of whose namespaces are in a group before: these would have the logins of another team. Where the
 * build namespaces are known, so is a group that is left with none.
 */
function checkNamespaces(readers: readonly ItemReader[], groups: readonly GroupConfig[], rules: NamespaceRules): void {
  const used = new Set(staticNamespaces(rules).map(createGroupOf(groups, rules.namespace)));
  for (const [index, reader] of readers.entries()) {
    const group = groups[index];
    if (group === undefined || rejectTaken(reader, group, groups.slice(0, index))) continue;
    const isLeftOut = !isDynamic(rules) && !used.has(group) && group.namespaces.length > 0;
    const expected = "one at least of buildNamespaces that no group before it has";
    if (isLeftOut) reader.addMistake(["namespaces"], group.namespaces, expected);
  }
}

/** Whether any was rejected. */
function rejectTaken(reader: ItemReader, { namespaces }: GroupConfig, before: readonly GroupConfig[]): boolean {
  const owners = namespaces.map((one) => before.find((other) => other.namespaces.some((wide) => covers(wide, one))));
  for (const [at, owner] of owners.entries()) {
    if (owner === undefined) continue;
    const expected = `none of group ${owner.name}: a namespace is in the first group that has it`;
    reader.addMistake(["namespaces", at], namespaces[at], expected);
  }
  return owners.some((owner) => owner !== undefined);
}

function readRegistries(
  item: ItemReader,
  identity: string | undefined,
  own: Registry,
  hasRole: boolean,
): readonly RegistryEntry[] {
  const form = entryForm(own);
  const entries = (item.entries("registries", `a list of ${form}`) ?? []).flatMap((entry, index) => {
    const addMistake = (value: string, expected: string): void =>
      item.addMistake(["registries", index], value, expected);
    return readEntry(entry, form, { own, identity, addMistake });
  });
  for (const [index, entry] of entries.entries()) {
    const isTwice = entries.findIndex(({ host }) => host === entry.host) !== index;
    const expected =
      registryMistake(entry.host, own) ?? (isTwice ? "each host once" : loginMistake(entry, own, hasRole));
    if (expected !== undefined) entry.addMistake(entry.host, expected);
  }
  return entries;
}

/** What is expected instead of this login; undefined for one that the group can have. */
function loginMistake({ host, role }: RegistryEntry, own: Registry, hasRole: boolean): string | undefined {
  if (hasRole && host === hostOfRegistry(own))
    return "no entry for the stack's own registry: the group's own role logs in to it";
  if (role !== undefined) return undefined;
  const isElsewhere = (registryOfHost(host) ?? own).accountId !== own.accountId;
  if (isElsewhere) return "{host, roleArn} for a registry of another account: the group's own role has no rights there";
  return hasRole ? undefined : `{host, roleArn}, or an entry in one of ${oneList}: without these the group has no role`;
}

function readLists(item: ItemReader, context: RightsContext): RepositoryLists {
  const rule = createRightsRule(context);
  const read = (field: (typeof rightsKeys)[number]): string[] => [
    ...new Set(item.list(field, (entry) => rule(field, entry))),
  ];
  return {
    pullRepositories: read("pullRepositories"),
    pushRepositories: read("pushRepositories"),
    pullThroughCache: read("pullThroughCache"),
  };
}

function checkPolicySize(item: ItemReader, name: string, rights: Parameters<typeof groupPolicy>[0]): void {
  if (!nameOfRepository.test(rights.repositoryName)) return; // Its reader has reported it.
  const size = JSON.stringify(groupPolicy(rights)).length;
  if (size <= maxPolicySize) return;
  const limit = `the policy of its role would have ${String(size)} characters, and IAM takes ${String(maxPolicySize)}`;
  item.addMistake([], name, `fewer or broader patterns: ${limit}`);
}
