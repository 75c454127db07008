// The tokens that the registries of the configuration need.
import { createHash } from "node:crypto";
import { parseRegistryHost, publicRegistryHost, type EndpointVariant } from "../shared/names.ts";
import { pullTokenName, type RegistryLogin, type RegistryRole } from "../shared/registry-logins.ts";
import type { IdentityConfig } from "./identity.ts";

/** An ECR registry. */
export interface Registry {
  /** One of the hosts that `parseRegistryHost` knows, or that of ECR Public. */
  readonly host: string;
  readonly region: string;
  /** The role that asks for its token; undefined where the helper's own identity does. */
  readonly role: RegistryRole | undefined;
}

/** What names of tokens and secrets go by. */
export const registryLogin = ({ host, role }: Registry): RegistryLogin => ({ host, roleArn: role?.roleArn });

/** An authorization token to ask ECR for; it is valid for every registry of its region, by whichever of its hosts. */
export interface TokenRequest extends EndpointVariant {
  readonly service: "ecr" | "ecr-public";
  readonly region: string;
  /** The hosts of the registries that it is asked for. */
  readonly hosts: readonly string[];
  /** The role that asks; undefined where the helper's own identity does. */
  readonly role: RegistryRole | undefined;
  /** What the token is used for. Without a push role, builds log in with the token for pulls. */
  readonly login: "pull" | "push";
  /** Hash of who asks: tokens issued to another identity may be revoked with it. */
  readonly fingerprint: string;
}

/** The registries whose credentials are kept. */
export interface RegistryConfig {
  /** The stack's own is the first. */
  readonly registries: readonly Registry[];
  /** Another host of the stack's own registry; undefined for none. */
  readonly registryHost: string | undefined;
}

/** The name of a region's token for pushes. The name of its token for pulls is the region itself. */
export const pushTokenName = (region: string): string => `${region} (push)`;

/** The name of the token with which builds log in where they pull with this one. A role's token is for both. */
export const buildTokenName = (requests: ReadonlyMap<string, TokenRequest>, pullName: string): string =>
  requests.has(pushTokenName(pullName)) ? pushTokenName(pullName) : pullName;

/**
 * The tokens that these registries need, by their names; the push role asks for those of builds, if there is one. The stack's own
 * registry is the first.
 */
export function tokenRequests(config: RegistryConfig, identity: IdentityConfig): ReadonlyMap<string, TokenRequest> {
  const pulls = pullRequests(config, identity);
  const { pushRole, pushFingerprint: fingerprint } = identity;
  if (pushRole === undefined) return pulls;
  const pushes = [...pulls].flatMap(([name, request]): [string, TokenRequest][] => {
    const role = { roleArn: pushRole, sessionTags: {} };
    // Nothing is pushed to ECR Public, which has repositories of its own kind.
    return request.role === undefined && request.service === "ecr"
      ? [[pushTokenName(name), { ...request, role, login: "push", fingerprint }]]
      : [];
  });
  return new Map([...pulls, ...pushes]);
}

/** After a mistake in the configuration there may be no registries, against their type. */
function pullRequests(
  { registries = [], registryHost }: Partial<RegistryConfig>,
  { fingerprint }: IdentityConfig,
): Map<string, TokenRequest> {
  const groups = new Map<string, Registry[]>();
  for (const registry of registries) {
    const name = pullTokenName(registryLogin(registry)) ?? "";
    groups.set(name, [...(groups.get(name) ?? []), registry]);
  }
  const requests = [...groups].map(([name, group]): [string, TokenRequest] => {
    const { region = "", role } = group[0] ?? {};
    const hosts = [...new Set(group.map(({ host }) => host))];
    const alias = registryHost !== undefined && hosts.includes(registries[0]?.host ?? "") ? [registryHost] : [];
    const asker = role === undefined ? fingerprint : hashOf([fingerprint, role]);
    const service = hosts.includes(publicRegistryHost) ? "ecr-public" : "ecr";
    const variant = endpointVariant([...hosts, ...alias]);
    return [name, { ...variant, service, region, hosts, role, login: "pull", fingerprint: asker }];
  });
  return new Map(requests);
}

/** Those of these requests, with their hosts, that namespaces with only some of the registries need. */
export function requestsFor(
  registries: readonly Registry[],
  all: ReadonlyMap<string, TokenRequest>,
): ReadonlyMap<string, TokenRequest> {
  const hosts = new Map<string, string[]>();
  for (const registry of registries) {
    const pullName = pullTokenName(registryLogin(registry)) ?? "";
    for (const name of [pullName, pushTokenName(pullName)])
      hosts.set(name, [...(hosts.get(name) ?? []), registry.host]);
  }
  return new Map(
    [...all].flatMap(([name, request]): [string, TokenRequest][] => {
      const own = hosts.get(name);
      return own === undefined ? [] : [[name, { ...request, hosts: own }]];
    }),
  );
}

const hashOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 16);

/**
 * The endpoints to ask for a token of these hosts: those of FIPS if one of them is, as whoever names it may send no login
 * anywhere else; and those with IPv6 if one of them has it, as there may be no IPv4.
 */
function endpointVariant(hosts: readonly string[]): EndpointVariant {
  const parsed = hosts.map(parseRegistryHost);
  return {
    useFipsEndpoint: parsed.some((one) => one?.useFipsEndpoint),
    useDualstackEndpoint: parsed.some((one) => one?.useDualstackEndpoint),
  };
}
