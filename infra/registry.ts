// Registries of ECR: an account has one in each region of its partition.
import { getCallerIdentity } from "@pulumi/aws/getCallerIdentity.js";
import { getPartition } from "@pulumi/aws/getPartition.js";
import { getRegion } from "@pulumi/aws/getRegion.js";
import * as pulumi from "@pulumi/pulumi";
import { firstLine } from "../helper/log.ts";

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
