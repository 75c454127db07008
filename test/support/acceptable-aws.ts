// What AWS accepts, checked piece by piece, to compare with the patterns of helper/ and infra/.
import {
  all,
  alphanumeric,
  consistsOf,
  digits,
  isHostName,
  isImagePath,
  isPrintable,
  letters,
  startsAndEndsIn,
  type Rule,
} from "./text-rules.ts";

/** The parts of a host: of one with IPv4 only, `ACCOUNT.dkr.ecr.REGION.SUFFIX`, or dual-stack, `ACCOUNT.dkr-ecr.REGION.SUFFIX`. */
function partsOf(host: string): { account: string; service: string; region: string; suffix: string[] } {
  const [account = "", first = "", ...rest] = host.split(".");
  const second = first === "dkr" ? `.${String(rest.shift())}` : "";
  return { account, service: `${first}${second}`, region: rest[0] ?? "", suffix: rest.slice(1) };
}

/** The host of an ECR registry. */
export const isRegistry: Rule = (value) => {
  const { account, service, region, suffix } = partsOf(value);
  const words = region.split("-");
  const number = words.pop() ?? "";
  return all(
    consistsOf(digits, 12, 12)(account),
    ["dkr.ecr", "dkr.ecr-fips", "dkr-ecr", "dkr-ecr-fips"].includes(service) && suffix.length > 0,
    words.length > 1 && consistsOf(letters, 2, 10)(words[0] ?? "") && words.every(consistsOf(letters)),
    consistsOf(digits)(number),
    isHostName(value),
  );
};

/** The prefix of the regions of each partition, and the suffixes of its hosts. All other regions belong to `aws`. */
const partitions: Readonly<Record<string, readonly [regions: string, suffix: string, dualStack: string]>> = {
  "aws-cn": ["cn-", "amazonaws.com.cn", "on.amazonwebservices.com.cn"],
  "aws-us-gov": ["us-gov-", "amazonaws.com", "on.aws"],
  "aws-iso": ["us-iso-", "c2s.ic.gov", "on.aws.ic.gov"],
  "aws-iso-b": ["us-isob-", "sc2s.sgov.gov", "on.aws.scloud"],
  "aws-iso-e": ["eu-isoe-", "cloud.adc-e.uk", "on.cloud-aws.adc-e.uk"],
  "aws-iso-f": ["us-isof-", "csp.hci.ic.gov", "on.aws.hci.ic.gov"],
  "aws-eusc": ["eusc-", "amazonaws.eu", "on.amazonwebservices.eu"],
};

/** The host of a registry in a region of this partition. */
export const isRegistryOf =
  (partition: string): Rule =>
  (value) => {
    const { service, region, suffix } = partsOf(value);
    const [found, [, single, dualStack]] = Object.entries(partitions).find(([, [regions]]) =>
      region.startsWith(regions),
    ) ?? ["aws", ["", "amazonaws.com", "on.aws"]];
    return all(
      isRegistry(value),
      found === partition,
      suffix.join(".") === (service.startsWith("dkr-") ? dualStack : single),
      !service.endsWith("-fips") || region.startsWith("us-"),
    );
  };

// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
/** An IAM name of at most `most` characters. */
export const isIamName =
  (most: number): Rule =>
  (value) =>
    consistsOf(`${alphanumeric}_+=,.@-`, 1, most)(value);
/** An IAM path. */
export const isIamPath: Rule = (value) =>
  value === "/" || all(isPrintable(value), value.length > 2, value.length <= 512, startsAndEndsIn(value, "/"));

/** An ARN of one of these services and resources, in an account or one of `accounts`; a resource may end in a slash. */
export const isArn =
  (services: readonly string[], resources: readonly string[], accounts: readonly string[] = []): Rule =>
  (value) => {
    const [arn, partition = "", service = "", region, account = "", ...rest] = value.split(":");
    const resource = rest.join(":");
    return all(
      arn === "arn" && region === "" && isPrintable(value),
      partition.startsWith("aws") && consistsOf(`${letters}-`)(partition) && startsAndEndsIn(partition, letters),
      services.includes(service),
      consistsOf(digits, 12, 12)(account) || accounts.includes(account),
      resources.some((one) => resource === one || (one.endsWith("/") && resource.startsWith(one) && resource !== one)),
    );
  };
const isPrincipalArn = isArn(["iam", "sts"], ["root", "user/", "role/", "assumed-role/", "federated-user/"]);
/** An account id, or the ARN of a principal. */
export const isPrincipal: Rule = (value) => consistsOf(digits, 12, 12)(value) || isPrincipalArn(value);

/** The name of a repository. */
export const isRepository: Rule = (value) => all(value.length >= 2, value.length <= 256, isImagePath(value));

/** A name, or a pattern with stars and question marks in place of letters. */
const isRepositoryPattern: Rule = (value) =>
  value === "*" || all(value.length <= 256, isRepository(value.replaceAll(/[*?]/g, "a")));

/** A name, a pattern, or an ARN in one of these registries, which are given by their hosts or prefixes of them. */
export const isRepositoryIn =
  (registries: readonly string[]): Rule =>
  (value) => {
    if (!value.startsWith("arn:")) return isRepositoryPattern(value);
    const [, partition, service, region = "", account = "", resource = "", ...more] = value.split(":");
    const [type, ...name] = resource.split("/");
    return all(
      partition === "aws" && service === "ecr" && type === "repository" && more.length === 0,
      registries.map(partsOf).some((one) => one.account === account && one.region === region),
      consistsOf(digits, 12, 12)(account) && isRepositoryPattern(name.join("/")),
    );
  };

const isKmsKeyId: Rule = (value) => {
  const isHex = (length: number): Rule => consistsOf(`${digits}abcdef`, length, length);
  if (value.startsWith("mrk-")) return isHex(32)(value.slice("mrk-".length));
  const [lengths, parts] = [[8, 4, 4, 4, 12], value.split("-")];
  return parts.length === lengths.length && lengths.every((length, index) => isHex(length)(parts[index] ?? ""));
};

/** A principal that a policy in this partition may name: an account or ARN of the partition, or everybody. */
export const isPrincipalOf =
  (partition: string): Rule =>
  (value) =>
    value === "*" || all(isPrincipal(value), !value.startsWith("arn:") || value.split(":")[1] === partition);

/** A default encryption of ECR, or the ARN of a KMS key in the region of the repository. */
export const isEncryption =
  ({ partition, region }: { partition: string; region: string }): Rule =>
  (value) => {
    if (value === "AES256" || value === "KMS") return true;
    const [prefix, key = "", ...more] = value.split(":key/");
    const account = prefix?.split(":").at(-1) ?? "";
    return all(
      prefix === `arn:${partition}:kms:${region}:${account}`,
      more.length === 0,
      consistsOf(digits, 12, 12)(account),
      isKmsKeyId(key),
    );
  };

// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
/** The external id of a role. */
export const isExternalId: Rule = (value) => consistsOf(`${alphanumeric}_+=,.@:/-`, 2, 1224)(value);

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html
/** KEY=VALUE, as IAM and ECR accept tags. */
export const isTag: Rule = (value) => {
  const [key = "", ...rest] = value.split("=");
  const [keyLength, valueLength] = [key, rest.join("=")].map((one) => Array.from(one).length);
  return all(
    rest.length > 0 && (keyLength ?? 0) >= 1 && (keyLength ?? 0) <= 128 && (valueLength ?? 0) <= 256,
    Array.from(value).every((one) => /[\p{L}\p{N}\p{Z}_.:/=+\-@]/u.test(one)),
    !key.toLowerCase().startsWith("aws:"),
  );
};
