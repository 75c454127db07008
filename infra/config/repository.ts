// Reads the options of the repository of the helper's image.
import { kmsKeyArn, principalOrAll, repositoryName } from "./aws-names.ts";
import { rejectOtherPartitions } from "./partition.ts";
import type { ConfigReader } from "./reader.ts";
import type { Registry } from "../registry.ts";
import { repositoryPolicy } from "../repository-policy.ts";

/** Whether an existing tag can be moved to another image. */
const tagMutabilities = ["MUTABLE", "IMMUTABLE"] as const;

/** The options of the repository. */
export interface RepositoryConfig {
  readonly repositoryName: string;
  /** Who may pull: account ids, IAM ARNs or `*`. If empty, only the stack's own account. */
  readonly repositoryPrincipals: readonly string[];
  readonly forceDelete: boolean;
  readonly tagMutability: (typeof tagMutabilities)[number];
  readonly scanOnPush: boolean;
  /** `AES256`, `KMS` for AWS' own key, or the ARN of another key. */
  readonly encryption: string;
}

/** Reads the options. The repository is created in the stack's own registry. */
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

/** In characters: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_SetRepositoryPolicy.html */
const maxPolicySize = 10_240;

function readPrincipals(config: ConfigReader, own: Registry): readonly string[] {
  const key = "repositoryPrincipals";
  const principals = config.strings(key, principalOrAll, 'account ids of 12 digits, IAM ARNs, or "*"');
  const known = principals.filter((one) => principalOrAll.test(one));
  rejectOtherPartitions(config, { key, what: "a principal", pattern: principalOrAll }, known, own);
  const size = repositoryPolicy(known, own).length;
  if (size > maxPolicySize) {
    const expected = "fewer principals, or the ids of their accounts, each of which stands for all that are in it";
    const sizes = `the policy would have ${String(size)} characters, and ECR takes ${String(maxPolicySize)}`;
    config.addListMistake(key, principals, `${expected}: ${sizes}`);
  }
  return principals;
}

/** Accepts a KMS key only by its ARN. ECR returns the ARN, so any other form would differ on every refresh. */
function readEncryption(config: ConfigReader, { partition, region }: Registry): string {
  const arn = `arn:${partition}:kms:${region}:ACCOUNT:key/ID`;
  const id = "where ID is a UUID, or mrk- and 32 digits of hexadecimal";
  const expected = `AES256, KMS, or the ARN of a KMS key (not of an alias), ${arn}, ${id}`;
  const pattern = new RegExp(`^(?:AES256|KMS)$|${kmsKeyArn.source}`);
  const encryption = config.string("encryption", pattern, expected);
  const [, inPartition = partition, inRegion = region] = kmsKeyArn.exec(encryption) ?? [];
  if (inPartition !== partition || inRegion !== region) {
    config.addMistake("encryption", encryption, `a KMS key in the stack's region, where the repository is: ${arn}`);
  }
  return encryption;
}
