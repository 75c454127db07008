// The part of the configuration that says what the repository of the helper's image is like.
import { kmsKeyArn, principalOrAll, repositoryName } from "./aws-names.ts";
import type { ConfigReader } from "./reader.ts";
import type { Registry } from "../registry.ts";
import { repositoryPolicy } from "../repository-policy.ts";

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
  const { string, boolean } = config;
  return {
    repositoryName: string("repositoryName", repositoryName, "a name of an ECR repository (2 to 200, lower case)"),
    repositoryPrincipals: readPrincipals(config, own),
    forceDelete: boolean("forceDelete"),
    tagMutability: config.oneOf("tagMutability", tagMutabilities),
    scanOnPush: boolean("scanOnPush"),
    encryption: readEncryption(config, own),
  };
}

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_SetRepositoryPolicy.html: characters of a policy. */
const maxPolicySize = 10_240;

function readPrincipals(config: ConfigReader, own: Registry): readonly string[] {
  const key = "repositoryPrincipals";
  const principals = config.strings(key, principalOrAll, 'account ids of 12 digits, IAM ARNs, or "*"');
  const known = principals.filter((one) => principalOrAll.test(one));
  for (const one of known) {
    const partition = one.startsWith("arn:") ? one.split(":")[1] : own.partition;
    if (partition === own.partition) continue;
    const expected = `a principal in the stack's partition, ${own.partition}: one of ${String(partition)} is unknown there`;
    config.mistake(key, one, expected);
  }
  const size = repositoryPolicy(known, own).length;
  if (size > maxPolicySize) {
    const expected = "fewer principals, or the ids of their accounts, each of which stands for all that are in it";
    const sizes = `the policy would have ${String(size)} characters, and ECR takes ${String(maxPolicySize)}`;
    config.mistakeOfList(key, principals, `${expected}: ${sizes}`);
  }
  return principals;
}

/** By its ARN alone: ECR answers with that, and an alias would be another value for ever. */
function readEncryption(config: ConfigReader, { partition, region }: Registry): string {
  const arn = `arn:${partition}:kms:${region}:ACCOUNT:key/ID`;
  const id = "where ID is a UUID, or mrk- and 32 digits of hexadecimal";
  const expected = `AES256, KMS, or the ARN of a KMS key (not of an alias), ${arn}, ${id}`;
  const pattern = new RegExp(`^(?:AES256|KMS)$|${kmsKeyArn.source}`);
  const encryption = config.string("encryption", pattern, expected);
  const [, inPartition = partition, inRegion = region] = kmsKeyArn.exec(encryption) ?? [];
  if (inPartition !== partition || inRegion !== region) {
    config.mistake("encryption", encryption, `a KMS key in the stack's region, where the repository is: ${arn}`);
  }
  return encryption;
}
