// Groups of build namespaces that log in to registries of their own, by roles of their own. The stack and the helper both need them.
import { matchesAny } from "./namespace-rules.ts";
import type { RegistryRole } from "./registry-logins.ts";
import type { SecretDefinition } from "./secret-definition.ts";

/** A registry of a group, and the role that asks for its token: never the helper itself, whose tokens open more. */
export interface GroupRegistry extends RegistryRole {
  readonly host: string;
}

/** One element of ECR_HELPER_GROUPS, which is a list in JSON. */
export interface Group {
  readonly name: string;
  /** Names and patterns of its namespaces. */
  readonly namespaces: readonly string[];
  /** Where its role is for the stack's own registry, that is the first. */
  readonly registries: readonly GroupRegistry[];
}

/** These registries with the stack's own as the first, if it is one of them: the names of secrets go by their order. */
export const ownFirst = <One extends Pick<GroupRegistry, "host">>(
  registries: readonly One[],
  ownHost: string,
): One[] => [
  ...registries.filter(({ host }) => host === ownHost),
  ...registries.filter(({ host }) => host !== ownHost),
];

/**
 * Returns a function that gives the group of a namespace, which is the first that has it. It is undefined for a namespace in no group, as
 * the helper's own always is: it pulls the helper's image.
 */
export function createGroupOf<One extends Pick<Group, "namespaces">>(
  groups: readonly One[],
  ownNamespace: string,
): (namespace: string) => One | undefined {
  const tests = groups.map((group) => [group, matchesAny(group.namespaces)] as const);
  return (namespace) => (namespace === ownNamespace ? undefined : tests.find(([, isIn]) => isIn(namespace))?.[0]);
}

/** The name of the secret with a group's tokens in the helper's own namespace, where the next helper finds them. */
export const groupTokensSecret = (pullSecret: string, { name }: Pick<Group, "name">): string => `${pullSecret}.${name}`;

/** The names of these secrets of all groups. */
export const tokensSecretNames = ({
  groups,
  pullSecret,
}: {
  readonly groups: readonly Pick<Group, "name">[];
  readonly pullSecret: string;
}): string[] => groups.map((group) => groupTokensSecret(pullSecret, group));

/** The stack's own registry by its hosts. */
export interface OwnHosts {
  readonly ownHost: string;
  /** Another host of it; undefined for none. */
  readonly registryHost: string | undefined;
}

/** Whether namespaces that log in to these hosts can get a further secret, which is for one of them. */
export const hasRegistryOf = (
  { registry }: Pick<SecretDefinition, "registry">,
  hosts: readonly string[],
  { ownHost, registryHost }: OwnHosts,
): boolean => hosts.includes(registry === "" || registry === registryHost ? ownHost : registry);
