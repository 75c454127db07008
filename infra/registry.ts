// Registries of ECR: an account has one in each region of its partition.
import { partition as partitionOf } from "@aws-sdk/util-endpoints";
import { getCallerIdentity } from "@pulumi/aws/getCallerIdentity.js";
import { getPartition } from "@pulumi/aws/getPartition.js";
import { getRegion } from "@pulumi/aws/getRegion.js";
import * as pulumi from "@pulumi/pulumi";
import { firstLine } from "../helper/log.ts";
import { registryHost } from "../helper/names.ts";

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

/** The registry of a host `ACCOUNT.dkr.ecr.REGION.SUFFIX`; undefined for any other host. */
export function registryOfHost(host: string): Registry | undefined {
  const region = registryHost.exec(host)?.[1];
  if (region === undefined) return undefined;
  return { partition: partitionOf(region).name, accountId: host.slice(0, host.indexOf(".")), region };
}

/** Whether two registries are the same one. */
export const isSameRegistry = (one: Registry, other: Registry): boolean =>
  one.partition === other.partition && one.accountId === other.accountId && one.region === other.region;
