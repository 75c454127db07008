// Reads the hosts of the registries whose credentials are kept, and the roles that ask for some of their tokens.
import { hostWithOptionalPort, publicRegistryHost, registryHost } from "../../helper/shared/names.ts";
import type { RegistryLogin, RegistryRoleWithHosts } from "../../helper/shared/registry-logins.ts";
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
import { readEntry, rolesOf, type RegistryEntry } from "./registry-roles.ts";

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

/** The login of a registry that the helper's own identity asks for its token. */
const ownLogin = (host: string): RegistryLogin => ({ host, roleArn: undefined });

/** Reads the hosts and roles, and collects the mistakes in them. */
export function readRegistriesConfig(config: ConfigReader, own: Registry): RegistriesConfig {
  const entries = readRegistries(config, own);
  return {
    registries: entries.filter(({ role }) => role === undefined).map(({ host }) => host),
    registryRoles: rolesOf(config, entries),
    registryHost: readRegistryHost(config, own),
  };
}

function readRegistries(config: ConfigReader, own: Registry): readonly RegistryEntry[] {
  const ofAccount = `hosts ${hostFormat(own.region)}, or their FIPS or dual-stack form: 12 digits, lower case, no https:// and no path`;
  const form = own.partition === "aws" ? `${ofAccount}; or ${publicRegistryHost}` : ofAccount;
  const either = `${form}; or {host, roleArn, externalId, sessionTags} for one whose token a role asks for`;
  const entries = config.list("registries", either).flatMap((entry) => readEntry(config, entry, own, either));
  for (const { host, role } of entries) {
    const isKnown = registryHost.test(host) || host === publicRegistryHost;
    const expected = isKnown ? registryMistake(host, own, role !== undefined) : form;
    if (expected !== undefined) config.addMistake("registries", host, expected);
  }
  return entries;
}

/**
 * What is expected instead of the host; undefined if it is valid. IAM rejects a policy with ARNs of another partition.
 * A host with another suffix does not belong to AWS, and would be sent the login.
 */
function registryMistake(host: string, own: Registry, hasRole: boolean): string | undefined {
  const [registry, right] = [registryNamedBy(host), exactHost(host)];
  if (registry === undefined || right === undefined) {
    return own.partition === "aws" ? undefined : inOwnPartition("a registry", own, "aws"); // ECR Public.
  }
  if (registry.partition !== own.partition) return inOwnPartition("a registry", own, registry.partition);
  if (right !== host) return `${right}, the host of that account's registry in ${registry.region}`;
  if (lacksFips(host)) return withoutFips(registry);
  return hasRole && isSameRegistry(registry, own)
    ? "the host of another registry, or no roleArn: the helper itself logs in to the stack's own registry"
    : undefined;
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
