// Reads the groups of build namespaces that log in by roles of their own, and makes the configuration that is for each namespace.
import { createGroupOf, groupTokensSecret, ownFirst, type Group } from "../shared/groups.ts";
import { namespacePattern } from "../shared/names.ts";
import { isRecord } from "../shared/record.ts";
import { isIn } from "../shared/secret-definition.ts";
import type { HelperConfig } from "./helper-config.ts";
import { isRole, parseRegistry } from "./registries.ts";
import type { RegistryConfig } from "./token-requests.ts";

/** A group with the configuration as it is for its namespaces. */
export interface GroupConfig extends Pick<Group, "name" | "namespaces"> {
  readonly config: HelperConfig;
}

/** The registries of a group. Where the stack's own is among them, that is the first, and its other host is one, too. */
export function groupRegistries(
  { registries }: Group,
  { registries: all, registryHost }: RegistryConfig,
): RegistryConfig {
  const ownHost = all[0]?.host ?? "";
  return {
    registries: ownFirst(registries, ownHost).flatMap(({ host, ...role }) => parseRegistry(host, role) ?? []),
    registryHost: registries.some(({ host }) => host === ownHost) ? registryHost : undefined,
  };
}

/** Returns a function that gives the configuration for a namespace, which is that of its group if it is in one. */
export function createConfigIn(config: HelperConfig): (namespace: string) => HelperConfig {
  const groupOf = createGroupOf(config.groups, config.namespace);
  return (namespace) => groupOf(namespace)?.config ?? config;
}

/** The names of the secrets with the groups' tokens. */
export const tokensSecretNames = ({ groups, pullSecret }: Pick<HelperConfig, "groups" | "pullSecret">): string[] =>
  groups.map((group) => groupTokensSecret(pullSecret, group));

/** Returns a function that gives the names of the secrets of a build namespace: the same list for all that get the same. */
export function createSecretNames(config: HelperConfig): (namespace: string) => readonly string[] {
  const configIn = createConfigIn(config);
  const lists = new Map<string, readonly string[]>();
  const shared = (names: readonly string[]): readonly string[] => {
    const key = names.join();
    const list = lists.get(key) ?? names;
    lists.set(key, list);
    return list;
  };
  return (namespace) => {
    const { secretNames, furtherSecrets } = configIn(namespace);
    const elsewhere = furtherSecrets.filter((one) => !isIn(one, namespace)).map(({ name }) => name);
    const kept = secretNames.filter((name) => !elsewhere.includes(name));
    return shared(namespace === config.namespace ? [...kept, ...tokensSecretNames(config)] : kept);
  };
}

/** Parses the JSON of groups; undefined for anything but valid ones with distinct names. */
export function parseGroups(value: string): readonly Group[] | undefined {
  try {
    const parsed: unknown = value === "" ? [] : JSON.parse(value);
    if (!Array.isArray(parsed) || !parsed.every(isGroup)) return undefined;
    return new Set(parsed.map(({ name }) => name)).size === parsed.length ? parsed : undefined;
  } catch {
    return undefined; // Not JSON: the reader adds the mistake.
  }
}

/** The end of a secret's name. */
const groupName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

const isText = (value: unknown, pattern: RegExp): boolean => typeof value === "string" && pattern.test(value);

function isGroup(value: unknown): value is Group {
  if (!isRecord(value)) return false;
  const { name, namespaces, registries } = value;
  return (
    isText(name, groupName) &&
    Array.isArray(namespaces) &&
    namespaces.every((one) => isText(one, namespacePattern)) &&
    Array.isArray(registries) &&
    registries.length > 0 &&
    registries.every(isGroupRegistry) &&
    new Set(registries.map(({ host }) => host)).size === registries.length
  );
}

function isGroupRegistry(value: unknown): value is Group["registries"][number] {
  if (!isRecord(value)) return false;
  const { host, ...role } = value;
  return typeof host === "string" && isRole(role) && parseRegistry(host, undefined) !== undefined;
}
