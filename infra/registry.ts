// Registries of ECR: an account has one in each region of its partition.
import { partition as partitionOf } from "@aws-sdk/util-endpoints";
import { getCallerIdentity } from "@pulumi/aws/getCallerIdentity.js";
import { getPartition } from "@pulumi/aws/getPartition.js";
import { getRegion } from "@pulumi/aws/getRegion.js";
import * as pulumi from "@pulumi/pulumi";
import { firstLine } from "../helper/shared/messages.ts";
import { registryHost } from "../helper/shared/names.ts";

/** Where a registry is. */
export interface Registry {
  /** `aws`, `aws-cn`, `aws-us-gov` or another one. */
  readonly partition: string;
  readonly accountId: string;
  readonly region: string;
}

/** Looks up the registry of the stack's own account and region. Rejects where AWS does not say who asks. */
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

/** The host of a registry. Its suffix is that of the partition: `amazonaws.com`, `amazonaws.com.cn`, `amazonaws.eu`. */
export const hostOfRegistry = ({ accountId, region }: Pick<Registry, "accountId" | "region">): string =>
  `${accountId}.dkr.ecr.${region}.${partitionOf(region).dnsSuffix}`;

/** How the hosts of a partition's registries look, as messages have it; the partition is that of a region. */
export const hostForm = (region: string): string => `ACCOUNT.dkr.ecr.REGION.${partitionOf(region).dnsSuffix}`;

/** The registry of a host; undefined for any other host, also for one whose suffix is none of AWS. */
export function registryOfHost(host: string): Registry | undefined {
  const registry = registryNamedBy(host);
  return registry !== undefined && hostOfRegistry(registry) === host ? registry : undefined;
}

/** The registry that the beginning of a host names, `ACCOUNT.dkr.ecr.REGION`, whatever its suffix is. */
export function registryNamedBy(host: string): Registry | undefined {
  const region = registryHost.exec(host)?.[1];
  if (region === undefined) return undefined;
  return { partition: partitionOf(region).name, accountId: host.slice(0, host.indexOf(".")), region };
}

/** Whether two registries are the same one. */
export const isSameRegistry = (one: Registry, other: Registry): boolean =>
  one.partition === other.partition && one.accountId === other.accountId && one.region === other.region;
