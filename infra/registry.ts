// ECR registries: an account has one in each region of its partition.
import { partition as partitionOf } from "@aws-sdk/util-endpoints";
import { getCallerIdentity } from "@pulumi/aws/getCallerIdentity.js";
import { getPartition } from "@pulumi/aws/getPartition.js";
import { getRegion } from "@pulumi/aws/getRegion.js";
import * as pulumi from "@pulumi/pulumi";
import { firstLine } from "../helper/shared/messages.ts";
import { parseRegistryHost, type EndpointVariant } from "../helper/shared/names.ts";

/** A registry: its partition, account and region. */
export interface Registry {
  /** `aws`, `aws-cn`, `aws-us-gov` or another one. */
  readonly partition: string;
  /** 12 digits. */
  readonly accountId: string;
  readonly region: string;
}

/**
 * Looks up the stack's own account, partition and region. Rejects with a RunError without valid credentials and a
 * region.
 */
export async function findOwnRegistry(): Promise<Registry> {
  try {
    const [{ accountId }, { partition }, { region }] = await Promise.all([
      getCallerIdentity(),
      getPartition(),
      getRegion(),
    ]);
    return { partition, accountId, region };
  } catch (error) {
    throw new pulumi.RunError(
      "The stack's AWS account and region are not known: expected AWS credentials that are valid, and a region " +
        `(\`pulumi config set aws:region REGION\`). Nothing was changed. (${firstLine(error)})`,
    );
  }
}

/**
 * The host of a registry; one with FIPS 140, with IPv6 (dual-stack) or both if `variant` says so. The region's partition
 * decides the suffix: `amazonaws.com`, `amazonaws.com.cn`, `amazonaws.eu`; for dual-stack `on.aws`,
 * `on.amazonwebservices.com.cn`, `on.amazonwebservices.eu`. The SDK knows the latter as those of APIs, `api.aws`.
 */
export function hostOfRegistry(
  { accountId, region }: Pick<Registry, "accountId" | "region">,
  variant: Partial<EndpointVariant> = {},
): string {
  const { dnsSuffix, dualStackDnsSuffix } = partitionOf(region);
  const ecr = variant.useFipsEndpoint === true ? "ecr-fips" : "ecr";
  return variant.useDualstackEndpoint === true
    ? `${accountId}.dkr-${ecr}.${region}.${dualStackDnsSuffix.replace(/^api\./, "on.")}`
    : `${accountId}.dkr.${ecr}.${region}.${dnsSuffix}`;
}

/** The format of registry hosts in the region's partition, for messages. */
export const hostFormat = (region: string): string => `ACCOUNT.dkr.ecr.REGION.${partitionOf(region).dnsSuffix}`;

/**
 * The registry of a host, which is one of its four; undefined for any other host, for example because of a suffix not of
 * AWS.
 */
export const registryOfHost = (host: string): Registry | undefined =>
  exactHost(host) === host ? registryNamedBy(host) : undefined;

/** The registry that the start of a host names, with any suffix; undefined for any other host. */
export function registryNamedBy(host: string): Registry | undefined {
  const { accountId, region } = parseRegistryHost(host) ?? {};
  if (accountId === undefined || region === undefined) return undefined;
  return { partition: partitionOf(region).name, accountId, region };
}

/** The host with the suffix that AWS gives it; undefined for a host that names no registry. */
export function exactHost(host: string): string | undefined {
  const parsed = parseRegistryHost(host);
  return parsed && hostOfRegistry(parsed, parsed);
}

/**
 * Whether the host is one of FIPS 140 where ECR has none: the SDK knows the partitions that have it, all of them, and not
 * the regions.
 */
export function lacksFips(host: string): boolean {
  const { useFipsEndpoint = false, region = "" } = parseRegistryHost(host) ?? {};
  return useFipsEndpoint && !region.startsWith("us-");
}

/** Whether two registries are the same one. */
export const isSameRegistry = (one: Registry, other: Registry): boolean =>
  one.partition === other.partition && one.accountId === other.accountId && one.region === other.region;
