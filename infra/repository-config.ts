// The part of the configuration that says what the repository of the helper's image is like.
import { kmsKeyArn, principalOrAll, repositoryName } from "./aws-names.ts";
import type { ConfigReader } from "./config-reader.ts";
import type { Registry } from "./registry.ts";

/** Whether a tag that is there can be given to another image. */
const tagMutabilities = ["MUTABLE", "IMMUTABLE"] as const;

/** The repository of the helper's image. */
export interface RepositoryConfig {
  readonly repositoryName: string;
  /** Account ids, IAM ARNs or `*`; nobody but the own account when empty. */
  readonly repositoryPrincipals: readonly string[];
  readonly forceDelete: boolean;
  readonly tagMutability: (typeof tagMutabilities)[number];
  readonly scanOnPush: boolean;
  /** `AES256`, `KMS` for AWS' own key, or the ARN of another key. */
  readonly encryption: string;
}

/** Reads what the repository is like; it is made in the own registry. */
export function readRepository(config: ConfigReader, own: Registry): RepositoryConfig {
  const { string, strings, boolean } = config;
  return {
    repositoryName: string("repositoryName", repositoryName, "a name of an ECR repository (2 to 200, lower case)"),
    repositoryPrincipals: strings("repositoryPrincipals", principalOrAll, 'account ids of 12 digits, IAM ARNs, or "*"'),
    forceDelete: boolean("forceDelete"),
    tagMutability: config.oneOf("tagMutability", tagMutabilities),
    scanOnPush: boolean("scanOnPush"),
    encryption: readEncryption(config, own),
  };
}

/** By its ARN alone: ECR answers with that, and an alias would be another value for ever. */
function readEncryption(config: ConfigReader, { partition, region }: Registry): string {
  const arn = `arn:${partition}:kms:${region}:ACCOUNT:key/ID`;
  const expected = `AES256, KMS, or the ARN of a KMS key (not of an alias), ${arn}`;
  const pattern = new RegExp(`^(?:AES256|KMS)$|${kmsKeyArn.source}`);
  const encryption = config.string("encryption", pattern, expected);
  const [, inPartition = partition, inRegion = region] = kmsKeyArn.exec(encryption) ?? [];
  if (inPartition !== partition || inRegion !== region) {
    config.mistake("encryption", encryption, `a KMS key in the stack's region, where the repository is: ${arn}`);
  }
  return encryption;
}
