// The tokens that the registries of the configuration need.
import { parseRegistryHost, type EndpointVariant } from "../shared/names.ts";

/** An ECR registry. */
export interface Registry {
  /** One of the hosts that `parseRegistryHost` knows. */
  readonly host: string;
  readonly region: string;
}

/** An authorization token to ask ECR for; it is valid for every registry of its region, by whichever of its hosts. */
export interface TokenRequest extends EndpointVariant {
  readonly region: string;
  /** ARN of the role that asks; undefined where the helper's own identity does. */
  readonly role: string | undefined;
  /** What the token is used for. Without a push role, builds log in with the token for pulls. */
  readonly login: "pull" | "push";
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

/** The tokens that these registries need, by their names; `pushRole` asks for those of builds, if there is one. */
export function tokenRequests(
  config: RegistryConfig,
  regions: readonly string[],
  pushRole: string | undefined,
): ReadonlyMap<string, TokenRequest> {
  const places = regions.map((region) => ({ region, ...endpointVariant(config, region) }));
  const pulls = places.map((place) => [place.region, { ...place, role: undefined, login: "pull" }] as const);
  const pushes = places.map((one) => [pushTokenName(one.region), { ...one, role: pushRole, login: "push" }] as const);
  return new Map<string, TokenRequest>(pushRole === undefined ? pulls : [...pulls, ...pushes]);
}

/**
 * The endpoints to ask for a region's token: those of FIPS if one of the region's hosts is, as whoever names it may send
 * no login anywhere else; and those with IPv6 if one of the hosts has it, as there may be no IPv4.
 */
function endpointVariant(
  { registries = [], registryHost = "" }: Partial<RegistryConfig>,
  region: string,
): EndpointVariant {
  const parsed = [...registries.map(({ host }) => host), registryHost].map(parseRegistryHost);
  const hosts = parsed.filter((one) => one?.region === region);
  return {
    useFipsEndpoint: hosts.some((one) => one?.useFipsEndpoint),
    useDualstackEndpoint: hosts.some((one) => one?.useDualstackEndpoint),
  };
}
