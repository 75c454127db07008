// Reads the groups of build namespaces that log in by roles of their own.
import { parseList } from "../shared/environment.ts";
import { ownFirst, type Group } from "../shared/groups.ts";
import { namespacePattern } from "../shared/names.ts";
import { isRecord } from "../shared/record.ts";
import { isRole, parseRegistry } from "./registries.ts";
import type { RegistryConfig } from "./token-requests.ts";

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

/** Parses the JSON of groups; undefined for anything but valid ones with distinct names. */
export function parseGroups(value: string): readonly Group[] | undefined {
  const groups = parseList(value, isGroup);
  return new Set(groups?.map(({ name }) => name)).size === groups?.length ? groups : undefined;
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
