// ECR registries: an account has one in each region of its partition.
import { partition as partitionOf } from "@aws-sdk/util-endpoints";
import { getCallerIdentity } from "@pulumi/aws/getCallerIdentity.js";
import { getPartition } from "@pulumi/aws/getPartition.js";
import { getRegion } from "@pulumi/aws/getRegion.js";
import * as pulumi from "@pulumi/pulumi";
import { firstLine } from "../helper/shared/messages.ts";
import { registryHost } from "../helper/shared/names.ts";

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
 * The host of a registry. The region's partition decides its suffix: `amazonaws.com`, `amazonaws.com.cn`,
 * `amazonaws.eu`.
 */
export const hostOfRegistry = ({ accountId, region }: Pick<Registry, "accountId" | "region">): string =>
  `${accountId}.dkr.ecr.${region}.${partitionOf(region).dnsSuffix}`;

/** The format of registry hosts in the region's partition, for messages. */
export const hostFormat = (region: string): string => `ACCOUNT.dkr.ecr.REGION.${partitionOf(region).dnsSuffix}`;

/**
 * The registry of a host; undefined if it is not exactly the host of a registry, for example because of a suffix not of
 * AWS.
 */
export function registryOfHost(host: string): Registry | undefined {
  const registry = registryNamedBy(host);
  return registry !== undefined && hostOfRegistry(registry) === host ? registry : undefined;
}

/**
 * The registry that the start of a host names, `ACCOUNT.dkr.ecr.REGION`, with any suffix; undefined for any other host.
 */
export function registryNamedBy(host: string): Registry | undefined {
  const region = registryHost.exec(host)?.[1];
  if (region === undefined) return undefined;
  return { partition: partitionOf(region).name, accountId: host.slice(0, host.indexOf(".")), region };
}

/** Whether two registries are the same one. */
export const isSameRegistry = (one: Registry, other: Registry): boolean =>
  one.partition === other.partition && one.accountId === other.accountId && one.region === other.region;
