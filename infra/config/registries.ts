// Reads the hosts of the registries whose credentials are kept.
import { hostWithOptionalPort, registryHost } from "../../helper/shared/names.ts";
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

/** The validated hosts of registries. */
export interface RegistriesConfig {
  /** Hosts of registries beside the stack's own, or further hosts of that. */
  readonly registries: readonly string[];
  /** Another host of the stack's own registry, instead of the usual one; undefined for none. */
  readonly registryHost: string | undefined;
}

/** Reads the hosts, and collects the mistakes in them. */
export const readRegistriesConfig = (config: ConfigReader, own: Registry): RegistriesConfig => ({
  registries: readRegistries(config, own),
  registryHost: readRegistryHost(config, own),
});

function readRegistries(config: ConfigReader, own: Registry): readonly string[] {
  const form = `hosts ${hostFormat(own.region)}, or their FIPS or dual-stack form: 12 digits, lower case, no https:// and no path`;
  const hosts = config.strings("registries", registryHost, form);
  for (const host of hosts) {
    const expected = registryMistake(host, own);
    if (expected !== undefined) config.addMistake("registries", host, expected);
  }
  return hosts;
}

/**
 * What is expected instead of the host; undefined if it is valid. IAM rejects a policy with ARNs of another partition.
 * A host with another suffix does not belong to AWS, and would be sent the login.
 */
function registryMistake(host: string, own: Registry): string | undefined {
  const [registry, right] = [registryNamedBy(host), exactHost(host)];
  if (registry === undefined || right === undefined) return undefined; // The reader has reported it.
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
