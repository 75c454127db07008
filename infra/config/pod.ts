// Reads how the helper's pod is scheduled, and as which user it runs.
import type { ImageConfig } from "./image.ts";
import type { ConfigReader } from "./reader.ts";
import { readResources, type Resources } from "./resources.ts";
import type { NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import { labelKey, objectName } from "../../helper/shared/names.ts";

/** A taint that the pod tolerates, by the fields of Kubernetes. Without an effect it is any effect. */
export interface Toleration {
  readonly key: string;
  readonly operator: "Exists" | "Equal";
  readonly value?: string;
  readonly effect?: string;
}

/** Labels or annotations. */
type Labels = Readonly<Record<string, string>>;

/** The validated keys of the pod. */
export interface PodConfig {
  /** Without the labels that follow the platform. */
  readonly nodeSelector: Labels;
  readonly tolerations: readonly Toleration[];
  readonly priorityClassName: string | undefined;
  /** Without those by which the pod is selected. */
  readonly podLabels: Labels;
  /** Without those that the stack sets. */
  readonly podAnnotations: Labels;
  readonly resources: Resources;
  /** Undefined if the cluster chooses the user. */
  readonly runAsUser: number | undefined;
  /** In seconds. */
  readonly rolloutTimeout: number;
}

const word = "[A-Za-z0-9](?:[\\w.-]{0,61}[A-Za-z0-9])?";
const label = { pattern: new RegExp(`^${labelKey}=(?:${word})?$`), form: "KEY=VALUE, a label as Kubernetes has it" };
const annotation = { pattern: new RegExp(`^${labelKey}=`), form: "KEY=VALUE, an annotation as Kubernetes has it" };
const toleration = new RegExp(`^(${labelKey})(?:=(${word}))?(?::(NoSchedule|PreferNoSchedule|NoExecute))?$`);

/** What is expected instead of a label or annotation that the stack or Kubernetes sets, by its key or the prefix of its key. */
type Reserved = Readonly<Record<string, string>>;

const ofPlatform = "no label that follows platform: set that key instead";
/** An image that somebody else built may have one platform or several: nodeSelector says on which it runs. */
const reservedOfNode = (image: ImageConfig): Reserved =>
  "ref" in image
    ? { "kubernetes.io/os": "another KEY: the helper always runs on linux" }
    : { "kubernetes.io/os": ofPlatform, "kubernetes.io/arch": ofPlatform };
const reservedOfPod: Reserved = {
  "app.kubernetes.io/name": "another KEY: the Deployment and the NetworkPolicy select the pod by this one",
  "pod-template-hash": "another KEY: Kubernetes sets this one in each rollout",
};

const ofStack = "another KEY: the stack sets this one";
const reservedAnnotations: Reserved = {
  "ecr-helper/": ofStack,
  "prometheus.io/": ofStack,
  "iam.amazonaws.com/role": "another KEY: identity kube2iam sets this one",
};

/** Reads the keys of the pod, whose memory depends on the namespaces and on the number of tokens. */
export function readPod(config: ConfigReader, rules: NamespaceRules, image: ImageConfig, tokens: number): PodConfig {
  const user = config.string(
    "runAsUser",
    { test: (value) => value === chosenByCluster || userIds.test(value) },
    "a user id from 1 to 2147483647, or cluster where the cluster gives each namespace its own, as OpenShift does",
  );
  return {
    nodeSelector: readPairs(config, "nodeSelector", label, reservedOfNode(image)),
    tolerations: readTolerations(config),
    priorityClassName: config.optional("priorityClassName", objectName, "the name of a PriorityClass"),
    podLabels: readPairs(config, "podLabels", label, reservedOfPod),
    podAnnotations: readPairs(config, "podAnnotations", annotation, reservedAnnotations),
    resources: readResources(config, rules, tokens),
    runAsUser: user === chosenByCluster ? undefined : Number(user),
    rolloutTimeout: Number(config.string("rolloutTimeout", wholeNumber(10, 3600), "whole seconds from 10 to 3600")),
  };
}

const chosenByCluster = "cluster";

const wholeNumber = (least: number, most: number): Pick<RegExp, "test"> => ({
  test: (value) => /^[1-9]\d{0,9}$/.test(value) && Number(value) >= least && Number(value) <= most,
});
/** Not root, which the restricted Pod Security Standard refuses. */
const userIds = wholeNumber(1, 2 ** 31 - 1);

function readPairs(config: ConfigReader, key: string, { pattern, form }: typeof label, reserved: Reserved): Labels {
  const list = config.strings(key, pattern, form);
  const pairs = list
    .filter((one) => pattern.test(one))
    .map((one): [name: string, value: string] => {
      const [name = "", ...value] = one.split("=");
      return [name, value.join("=")];
    });
  for (const [index, [name, value]] of pairs.entries()) {
    const isTwice = pairs.findIndex(([one]) => one === name) !== index;
    const expected = reserved[name] ?? reserved[name.replace(/[^/]*$/, "")] ?? (isTwice ? "each KEY once" : undefined);
    if (expected !== undefined) config.addMistake(key, `${name}=${value}`, expected);
  }
  return Object.fromEntries(pairs);
}

function readTolerations(config: ConfigReader): Toleration[] {
  const form =
    "KEY[=VALUE][:EFFECT], a taint as kubectl has it: NoSchedule, PreferNoSchedule, NoExecute, or any effect";
  return config.strings("tolerations", toleration, form).map((text) => {
    const [, key = "", value, effect] = toleration.exec(text) ?? [];
    return {
      key,
      ...(value === undefined ? { operator: "Exists" } : { operator: "Equal", value }),
      ...(effect === undefined ? {} : { effect }),
    };
  });
}
