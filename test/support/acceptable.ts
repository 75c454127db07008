// What Kubernetes and Docker accept, checked piece by piece, to compare with the patterns of helper/ and infra/.
import {
  all,
  alphanumeric,
  consistsOf,
  digits,
  isHostName,
  isImagePath,
  isLabel,
  isNumber,
  isPrintable,
  lower,
  startsAndEndsIn,
  type Rule,
} from "./text-rules.ts";

export * from "./acceptable-aws.ts";
export * from "./text-rules.ts";

// k8s.io/apimachinery/pkg/util/validation
/** A DNS subdomain: the name of most objects. */
export const isSubdomain: Rule = (value) =>
  value.length <= 253 && value.split(".").every((one) => consistsOf(`${lower}-`)(one) && startsAndEndsIn(one, lower));
/** The name part of a label key, or a label value that is not empty. */
export const isLabelWord: Rule = (value) =>
  consistsOf(`${alphanumeric}-_.`, 1, 63)(value) && startsAndEndsIn(value, alphanumeric);
/** A label key, with or without a prefix. */
export const isLabelKey: Rule = (value) => {
  const [name = "", ...prefix] = value.split("/").reverse();
  return isLabelWord(name) && prefix.length <= 1 && prefix.every(isSubdomain);
};

/** A namespace, or a pattern that matches at least one: with nothing or a letter in place of each star. */
export const mayMeanNamespace: Rule = (value) =>
  ["", "a"].some((one) => isLabel(value.replaceAll("*", one).replaceAll("?", "a")));

/** A service account, or a pattern that matches at least one, in the same way. */
export const mayMeanAccount: Rule = (value) =>
  ["", "a"].some((one) => isSubdomain(value.replaceAll("*", one).replaceAll("?", "a")));

/** What Docker takes for a registry before the first slash; anything else is part of a name on Docker Hub. */
export const isRegistryHost: Rule = (value) => {
  const [host = "", port, ...more] = value.split(":");
  return all(
    value === "localhost" || value.includes(".") || port !== undefined,
    more.length === 0 && isHostName(host) && isNumber(port ?? "1", 1, 65535),
    URL.canParse(`http://${value}`),
  );
};

/** `NAME/KEY` of a ConfigMap. */
export const isKeyOfConfigMap: Rule = (value) => {
  const [name = "", key = "", ...more] = value.split("/");
  const isKey = consistsOf(`${alphanumeric}-_.`, 1, 253)(key) && key !== "." && !key.startsWith("..");
  return more.length === 0 && isSubdomain(name) && isKey;
};

/** A host, or all of a domain. */
export const isHostPattern: Rule = (value) => isHostName(value.startsWith("*.") ? value.slice(2) : value);

// https://docs.docker.com/reference/cli/docker/image/tag/#description
const isTagOfImage: Rule = (value) => consistsOf(`${alphanumeric}_.-`, 1, 128)(value) && !/^[.-]/.test(value);
const isDigest: Rule = (value) =>
  value.startsWith("sha256:") && consistsOf(`${digits}abcdef`, 64, 64)(value.slice("sha256:".length));
/** The reference of an image. */
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

/** The name of an image with its host and digest, and without a tag. */
export const isImageByDigest: Rule = (value) => {
  const [name = "", digest = ""] = value.split("@");
  const [host = "", ...folders] = name.split("/");
  return all(isImage(value), isDigest(digest), isRegistryHost(host), !folders.join("/").includes(":"));
};

/** A URL that `new URL` does not have to correct, without credentials, query and fragment. */
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
