// Reads the hosts of the registries whose credentials are kept, and the roles that ask for some of their tokens.
import { hostWithOptionalPort, publicRegistryHost, registryHost } from "../../helper/shared/names.ts";
import { pullTokenName, type RegistryLogin, type RegistryRoleWithHosts } from "../../helper/shared/registry-logins.ts";
import {
  exactHost,
  hostFormat,
  hostOfRegistry,
  isSameRegistry,
  lacksFips,
  registryNamedBy,
  registryOfHost,
  type Registry,
} from "../registry.ts";
import { inOwnPartition } from "./partition.ts";
import type { ConfigReader } from "./reader.ts";
import { readEntry, rolesOf, type EntryContext, type RegistryEntry } from "./registry-roles.ts";

/** The validated hosts of registries. */
export interface RegistriesConfig {
  /** Hosts of registries beside the stack's own, or further hosts of that, which the helper's own identity asks for tokens. */
  readonly registries: readonly string[];
  /** Roles that ask for the tokens of further registries, with the hosts of these; no host has two. */
  readonly registryRoles: readonly RegistryRoleWithHosts[];
  /** Another host of the stack's own registry, instead of the usual one; undefined for none. */
  readonly registryHost: string | undefined;
}

/** The logins of these registries, those with roles last. */
export const registryLogins = ({ registries, registryRoles }: RegistriesConfig): readonly RegistryLogin[] => [
  ...registries.map(ownLogin),
  ...registryRoles.flatMap(({ hosts, roleArn }) => hosts.map((host) => ({ host, roleArn }))),
];

/** The logins of all registries; that of the stack's own, by the given host, is the first. */
export const allLogins = (ownHost: string, config: RegistriesConfig): readonly RegistryLogin[] => [
  ownLogin(ownHost),
  ...registryLogins(config),
];

/** How many tokens the helper keeps for these logins. With a role for pushes there are two for each that no other role asks for. */
export const tokenCount = (logins: readonly RegistryLogin[], isPushed: boolean): number => {
  const namesOf = (some: readonly RegistryLogin[]): number => new Set(some.map(pullTokenName)).size;
  return namesOf(logins) + (isPushed ? namesOf(logins.filter(({ roleArn }) => roleArn === undefined)) : 0);
};

/** The login of a registry that the helper's own identity asks for its token. */
const ownLogin = (host: string): RegistryLogin => ({ host, roleArn: undefined });

/** Reads the hosts and roles, and collects the mistakes in them. */
export function readRegistriesConfig(config: ConfigReader, own: Registry): RegistriesConfig {
  const entries = readRegistries(config, own);
  for (const { host, role, addMistake } of entries) {
    if (entries.find((other) => other.host === host)?.role?.roleArn !== role?.roleArn)
      addMistake(host, "each host once, or with the same roleArn: a docker config has one login for it");
  }
  return {
    registries: entries.filter(({ role }) => role === undefined).map(({ host }) => host),
    registryRoles: rolesOf(entries),
    registryHost: readRegistryHost(config, own),
  };
}

function readRegistries(config: ConfigReader, own: Registry): readonly RegistryEntry[] {
  const form = entryForm(own);
  const context: EntryContext = {
    own,
    identity: config.explicitValue("identity"),
    addMistake: (value, expected) => config.addMistake("registries", value, expected),
  };
  const entries = config.list("registries", form).flatMap((entry) => readEntry(entry, form, context));
  for (const { host, role, addMistake } of entries) {
    const registry = registryOfHost(host);
    const expected =
      registryMistake(host, own) ??
      (role !== undefined && registry !== undefined && isSameRegistry(registry, own)
        ? "the host of another registry, or no roleArn: the helper itself logs in to the stack's own registry"
        : undefined);
    if (expected !== undefined) addMistake(host, expected);
  }
  return entries;
}

/** The form of a host, for messages. */
function hostForm({ partition, region }: Registry): string {
  const ofAccount = `hosts ${hostFormat(region)}, or their FIPS or dual-stack form: 12 digits, lower case, no https:// and no path`;
  return partition === "aws" ? `${ofAccount}; or ${publicRegistryHost}` : ofAccount;
}

/** The form of an entry, for messages. */
export const entryForm = (own: Registry): string =>
  `${hostForm(own)}; or {host, roleArn, externalId, sessionTags} for one whose token a role asks for`;

/**
 * What is expected instead of the host; undefined if it is valid. IAM rejects a policy with ARNs of another partition.
 * A host with another suffix does not belong to AWS, and would be sent the login.
 */
export function registryMistake(host: string, own: Registry): string | undefined {
  if (!registryHost.test(host) && host !== publicRegistryHost) return hostForm(own);
  const [registry, right] = [registryNamedBy(host), exactHost(host)];
  if (registry === undefined || right === undefined) {
    return own.partition === "aws" ? undefined : inOwnPartition("a registry", own, "aws"); // ECR Public.
  }
  if (registry.partition !== own.partition) return inOwnPartition("a registry", own, registry.partition);
  if (right !== host) return `${right}, the host of that account's registry in ${registry.region}`;
  return lacksFips(host) ? withoutFips(registry) : undefined;
}

const withoutFips = (registry: Registry): string =>
  `${hostOfRegistry(registry)}: ECR has FIPS endpoints only in the regions of the US`;

/** Any host may lead to the stack's own registry, for example a VPC endpoint, but those that AWS gives to another one. */
function readRegistryHost(config: ConfigReader, own: Registry): string | undefined {
  const host = config.optional("registryHost", hostWithOptionalPort, "HOST or HOST:PORT, without https://");
  const registry = host === undefined ? undefined : registryOfHost(host);
  if (host === undefined || registry === undefined) return host;
  if (!isSameRegistry(registry, own)) {
    const expected = `a host of the stack's own registry, such as ${hostOfRegistry(own)}: others belong in registries`;
    config.addMistake("registryHost", host, expected);
  } else if (lacksFips(host)) config.addMistake("registryHost", host, withoutFips(own));
  return host;
}
