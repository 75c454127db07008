// What Kubernetes, AWS and Docker take, told a second time: piece by piece, where helper/ and infra/ have patterns.

export type Rule = (value: string) => boolean;

const letters = "abcdefghijklmnopqrstuvwxyz";
const digits = "0123456789";
const lower = letters + digits;
const alphanumeric = lower + letters.toUpperCase();
const all = (...conditions: boolean[]): boolean => conditions.every((one) => one);

export const consistsOf =
  (allowed: string, least = 1, most = Infinity): Rule =>
  (value) =>
    value.length >= least && value.length <= most && Array.from(value).every((one) => allowed.includes(one));
const startsAndEndsIn = (value: string, allowed: string): boolean =>
  value !== "" && allowed.includes(value[0] ?? "") && allowed.includes(value.at(-1) ?? "");
export const isPrintable: Rule = (value) => Array.from(value).every((one) => one > " " && one < "\u007F");
export const isNumber = (value: string, least: number, most: number): boolean =>
  all(consistsOf(digits, 1, 20)(value), Number(value) >= least, Number(value) <= most);

// k8s.io/apimachinery/pkg/util/validation
export const isLabel: Rule = (value) => consistsOf(`${lower}-`, 1, 63)(value) && startsAndEndsIn(value, lower);
export const isSubdomain: Rule = (value) =>
  value.length <= 253 && value.split(".").every((one) => consistsOf(`${lower}-`)(one) && startsAndEndsIn(one, lower));
export const isLabelWord: Rule = (value) =>
  consistsOf(`${alphanumeric}-_.`, 1, 63)(value) && startsAndEndsIn(value, alphanumeric);
export const isLabelKey: Rule = (value) => {
  const [name = "", ...prefix] = value.split("/").reverse();
  return isLabelWord(name) && prefix.length <= 1 && prefix.every(isSubdomain);
};

/** A name, or a pattern that one name at least matches: with nothing for a star, or with a letter. */
export const mayMeanNamespace: Rule = (value) =>
  ["", "a"].some((one) => isLabel(value.replaceAll("*", one).replaceAll("?", "a")));

const isHostName: Rule = (value) => value.length <= 253 && value.split(".").every(isLabel);

export const isRegistry: Rule = (value) => {
  const [account = "", dkr, ecr, region = "", ...suffix] = value.split(".");
  const words = region.split("-");
  const number = words.pop() ?? "";
  return all(
    consistsOf(digits, 12, 12)(account),
    dkr === "dkr" && ecr === "ecr" && suffix.length > 0,
    words.length > 1 && consistsOf(letters, 2, 10)(words[0] ?? "") && words.every(consistsOf(letters)),
    consistsOf(digits)(number),
    isHostName(value),
  );
};

/** How the regions of the partitions begin, and how their hosts end; those of `aws` begin in any other way. */
const partitions: Readonly<Record<string, readonly [regions: string, suffix: string]>> = {
  "aws-cn": ["cn-", "amazonaws.com.cn"],
  "aws-us-gov": ["us-gov-", "amazonaws.com"],
  "aws-iso": ["us-iso-", "c2s.ic.gov"],
  "aws-iso-b": ["us-isob-", "sc2s.sgov.gov"],
  "aws-iso-e": ["eu-isoe-", "cloud.adc-e.uk"],
  "aws-iso-f": ["us-isof-", "csp.hci.ic.gov"],
  "aws-eusc": ["eusc-", "amazonaws.eu"],
};

/** A registry in a region of a partition, by the one host that it has. */
export const isRegistryOf =
  (partition: string): Rule =>
  (value) => {
    const [, , , region = "", ...suffix] = value.split(".");
    const [found, [, expected]] = Object.entries(partitions).find(([, [regions]]) => region.startsWith(regions)) ?? [
      "aws",
      ["", "amazonaws.com"],
    ];
    return all(isRegistry(value), found === partition, suffix.join(".") === expected);
  };

/** What Docker takes for a host before the first slash: anything else is a part of the image's name on its own hub. */
export const isRegistryHost: Rule = (value) => {
  const [host = "", port, ...more] = value.split(":");
  return all(
    value === "localhost" || value.includes(".") || port !== undefined,
    more.length === 0 && isHostName(host) && isNumber(port ?? "1", 1, 65535),
    URL.canParse(`http://${value}`),
  );
};

/** Letters and digits; between them one point, one or two underscores, or any number of dashes. */
const isPathComponent: Rule = (value) =>
  startsAndEndsIn(value, lower) &&
  value
    .split(/[a-z0-9]+/)
    .slice(1, -1)
    .every((separator) => [".", "_", "__"].includes(separator) || consistsOf("-")(separator));
const isImagePath: Rule = (value) => value.split("/").every(isPathComponent);

// https://docs.docker.com/reference/cli/docker/image/tag/#description
const isTagOfImage: Rule = (value) => consistsOf(`${alphanumeric}_.-`, 1, 128)(value) && !/^[.-]/.test(value);
const isDigest: Rule = (value) =>
  value.startsWith("sha256:") && consistsOf(`${digits}abcdef`, 64, 64)(value.slice("sha256:".length));
export const isImage: Rule = (value) => {
  const [tagged = "", ...digests] = value.split("@");
  const [host = "", ...folders] = tagged.split("/");
  const isHosted = folders.length > 0 && isRegistryHost(host);
  const [path = "", ...tags] = (isHosted ? folders.join("/") : tagged).split(":");
  return all(
    digests.length <= 1,
    tags.length <= 1,
    digests.every(isDigest),
    tags.every(isTagOfImage),
    isImagePath(path),
  );
};

// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
export const isIamName =
  (most: number): Rule =>
  (value) =>
    consistsOf(`${alphanumeric}_+=,.@-`, 1, most)(value);
export const isIamPath: Rule = (value) =>
  value === "/" || all(isPrintable(value), value.length > 2, value.length <= 512, startsAndEndsIn(value, "/"));

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
export const isPrincipal: Rule = (value) => consistsOf(digits, 12, 12)(value) || isPrincipalArn(value);

export const isRepository: Rule = (value) => all(value.length >= 2, value.length <= 256, isImagePath(value));

/** A name, or a pattern that has its stars and question marks in the place of letters. */
const isRepositoryPattern: Rule = (value) =>
  value === "*" || all(value.length <= 256, isRepository(value.replaceAll(/[*?]/g, "a")));

/** Names and patterns, and ARNs of one of the registries, which are given by their hosts or the beginning of these. */
export const isRepositoryIn =
  (registries: readonly string[]): Rule =>
  (value) => {
    if (!value.startsWith("arn:")) return isRepositoryPattern(value);
    const [, partition, service, region = "", account = "", resource = "", ...more] = value.split(":");
    const [type, ...name] = resource.split("/");
    return all(
      partition === "aws" && service === "ecr" && type === "repository" && more.length === 0,
      registries.some((one) => `${one}.`.startsWith(`${account}.dkr.ecr.${region}.`)),
      consistsOf(digits, 12, 12)(account) && isRepositoryPattern(name.join("/")),
    );
  };

const isKmsKeyId: Rule = (value) => {
  const isHex = (length: number): Rule => consistsOf(`${digits}abcdef`, length, length);
  if (value.startsWith("mrk-")) return isHex(32)(value.slice("mrk-".length));
  const [lengths, parts] = [[8, 4, 4, 4, 12], value.split("-")];
  return parts.length === lengths.length && lengths.every((length, index) => isHex(length)(parts[index] ?? ""));
};

/** Who a policy in a partition may name: accounts and ARNs of that partition, or everybody. */
export const isPrincipalOf =
  (partition: string): Rule =>
  (value) =>
    value === "*" || all(isPrincipal(value), !value.startsWith("arn:") || value.split(":")[1] === partition);

/** AWS' keys, or a key's ARN in the region of the repository. */
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

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html
export const isTag: Rule = (value) => {
  const [key = "", ...rest] = value.split("=");
  const [keyLength, valueLength] = [key, rest.join("=")].map((one) => Array.from(one).length);
  return all(
    rest.length > 0 && (keyLength ?? 0) >= 1 && (keyLength ?? 0) <= 128 && (valueLength ?? 0) <= 256,
    Array.from(value).every((one) => /[\p{L}\p{N}\p{Z}_.:/=+\-@]/u.test(one)),
    !key.toLowerCase().startsWith("aws:"),
  );
};

/** Used as it is: nothing in it that URL would have to mend. */
export const isUrl =
  (protocols: readonly string[], hasPath: boolean): Rule =>
  (value) => {
    if (!URL.canParse(value) || !isPrintable(value)) return false;
    const { protocol, username, password, pathname, search, hash, hostname, port } = new URL(value);
    return all(
      protocols.includes(protocol) && [username, password, search, hash].join("") === "",
      hasPath || pathname === "/",
      hostname.startsWith("[") || isHostName(hostname),
      port !== "0",
      hostname.startsWith("[") || value.toLowerCase().startsWith(`${protocol}//${hostname}`),
    );
  };
