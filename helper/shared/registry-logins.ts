// Which registries share a login, and the names of the secrets that builds log in with. The stack and the helper both need them.
import { createHash } from "node:crypto";
import { parseRegistryHost, publicRegistryHost } from "./names.ts";

/** A role that the helper assumes to ask for the tokens of some registries. The other account trusts the helper to do so. */
export interface RegistryRole {
  readonly roleArn: string;
  /** What the role's trust policy may demand beside the helper's identity; undefined for nothing. */
  readonly externalId?: string;
  /** Tags of the role's session, by key. */
  readonly sessionTags: Readonly<Record<string, string>>;
}

/** The same with the hosts of those registries: one element of ECR_HELPER_REGISTRY_ROLES, which is a list in JSON. */
export interface RegistryRoleWithHosts extends RegistryRole {
  readonly hosts: readonly string[];
}

/** A registry by one of its hosts, and the ARN of the role that asks for its token; undefined where the helper itself asks. */
export interface RegistryLogin {
  readonly host: string;
  readonly roleArn: string | undefined;
}

/** The region of a registry's host, or the host of ECR Public, whose token is another one; undefined for any other host. */
const placeOf = (host: string): string | undefined =>
  host === publicRegistryHost ? host : parseRegistryHost(host)?.region;

/**
 * The name of the token with which a registry is pulled from; undefined for a host that is none. A token is valid for all
 * registries of one region that its principal can read, so registries of one region and role share it.
 */
export function pullTokenName({ host, roleArn }: RegistryLogin): string | undefined {
  const place = placeOf(host);
  return place === undefined || roleArn === undefined ? place : `${place} as ${roleArn}`;
}

/**
 * What a further login has after the name of the first: its region, and a hash of its role if that is another one than the first's, as
 * few names of roles are possible there.
 */
function suffixOf({ host, roleArn }: RegistryLogin, firstRole: string | undefined): string {
  const place = host === publicRegistryHost ? "public" : (placeOf(host) ?? "");
  if (roleArn === firstRole) return place;
  return `${place}-${createHash("sha256")
    .update(roleArn ?? "")
    .digest("hex")
    .slice(0, 8)}`;
}

/** The suffixes of these logins, each once, in the order of their first registry. Other hosts are ignored. */
export const loginSuffixes = (registries: readonly RegistryLogin[]): string[] => [
  ...new Set(registries.filter(({ host }) => placeOf(host) !== undefined).map((one) => suffixOf(one, undefined))),
];

/**
 * The names of the secrets that builds log in with, by the name of the token for pulls. Such a secret holds one password. The
 * first login's secret is named `base`; a further one's is `base-REGION`, `base-public` for ECR Public, or either with `-HASH` for a
 * role that is not the first's.
 */
export function basicAuthNames(base: string, registries: readonly RegistryLogin[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const registry of registries) {
    const token = pullTokenName(registry);
    if (token === undefined || names.has(token)) continue;
    names.set(token, names.size === 0 ? base : `${base}-${suffixOf(registry, registries[0]?.roleArn)}`);
  }
  return names;
}
