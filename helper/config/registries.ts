// Reads the registries whose credentials are kept, and the roles that ask for some of their tokens.
import { hostWithOptionalPort, parseRegistryHost, publicRegistryHost, publicRegistryRegion } from "../shared/names.ts";
import { parseList } from "../shared/environment.ts";
import { isRecord } from "../shared/record.ts";
import type { RegistryLogin, RegistryRole, RegistryRoleWithHosts } from "../shared/registry-logins.ts";
import { atLeastOne, type Environment, type EnvironmentReader } from "./environment-reader.ts";
import type { Registry, RegistryConfig } from "./token-requests.ts";

/** Reads the registries. Mistakes go to the reader. */
export function readRegistries(reader: EnvironmentReader): RegistryConfig {
  const hosts =
    "hosts ACCOUNT.dkr.ecr.REGION.SUFFIX or its FIPS or dual-stack form, or public.ecr.aws, comma-separated";
  const optionalHost = (value: string): string | undefined =>
    value === "" || hostWithOptionalPort.test(value) ? value : undefined;
  const form = "empty, or roles as JSON, [{roleArn, externalId, sessionTags, hosts}], each host in one of them at most";
  const roles = reader.read("ECR_HELPER_REGISTRY_ROLES", form, parseRoles);
  const parse = (host: string): Registry | undefined => {
    const { hosts, ...role } = roleOf(host, roles) ?? { hosts: undefined };
    return parseRegistry(host, hosts === undefined ? undefined : (role as RegistryRole));
  };
  return {
    registries: reader.read("ECR_HELPER_REGISTRIES", hosts, atLeastOne(parse)),
    registryHost: reader.read("ECR_HELPER_REGISTRY_HOST", "empty, HOST or HOST:PORT", optionalHost) || undefined,
  };
}

/** The registries as the variables have them: of those that are wrong, hosts that no registry has, and no roles. */
export function registryLogins(env: Environment): RegistryLogin[] {
  const roles = parseRoles(env["ECR_HELPER_REGISTRY_ROLES"] ?? "");
  return (env["ECR_HELPER_REGISTRIES"] ?? "")
    .split(",")
    .map((host) => ({ host, roleArn: roleOf(host, roles)?.roleArn }));
}

/** After a mistake there are no roles, against their type. */
const roleOf = (host: string, roles: readonly RegistryRoleWithHosts[] = []): RegistryRoleWithHosts | undefined =>
  roles.find(({ hosts }) => hosts.includes(host));

/** The registry of a host; undefined for a host of none. */
export function parseRegistry(host: string, role: RegistryRole | undefined): Registry | undefined {
  const region = host === publicRegistryHost ? publicRegistryRegion : parseRegistryHost(host)?.region;
  return region === undefined ? undefined : Object.freeze({ host, region, role });
}

function parseRoles(value: string): readonly RegistryRoleWithHosts[] | undefined {
  const roles = parseList(value, isRoleWithHosts);
  const hosts = roles?.flatMap((role) => role.hosts);
  return new Set(hosts).size === hosts?.length ? roles : undefined;
}

/** No spaces or control characters, as these come into the log: the stack has checked the values by AWS' rules. */
const printable = /^[!-~]+$/;
const isText = (value: unknown): value is string => typeof value === "string" && printable.test(value);

/** Whether a value, which may have more, is a role. */
export function isRole(value: unknown): value is RegistryRole {
  if (!isRecord(value)) return false;
  const { roleArn, externalId, sessionTags } = value;
  return isText(roleArn) && (externalId === undefined || isText(externalId)) && isTags(sessionTags);
}

function isRoleWithHosts(value: unknown): value is RegistryRoleWithHosts {
  if (!isRecord(value)) return false;
  const { hosts } = value;
  return isRole(value) && Array.isArray(hosts) && hosts.every(isText);
}

const isTags = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Object.values(value).every((one) => typeof one === "string");
