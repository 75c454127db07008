// The stack's configuration: read here and nowhere else, checked whole before any resource is registered.
import { existsSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { ConfigReader } from "./config-reader.ts";
import { readHardening, readIdentity, type IamHardening, type IdentityConfig } from "./identity-config.ts";
import { formats, levels, reasonOf, type Format, type Level } from "../helper/log.ts";
import {
  anyHost,
  basicAuthNames,
  namespaceName,
  namespacePattern,
  objectName,
  regionsOf,
  registryHost,
} from "../helper/names.ts";
import { isOpenEnded, isPattern, namedNamespaces, parseSelector, type TargetRules } from "../helper/targets.ts";

/** Which cluster: a kubeconfig (path or content) and a context of it, or the name of an EKS cluster. */
export type ClusterConfig =
  { readonly kubeconfig: string | undefined; readonly context: string | undefined } | { readonly eksCluster: string };

/** The keys of Pulumi.yaml, where each one's meaning and default stands. */
export interface StackConfig extends TargetRules, IamHardening {
  readonly repositoryName: string;
  readonly repositoryPrincipals: readonly string[];
  readonly forceDelete: boolean;
  readonly identity: IdentityConfig;
  readonly policyName: string;
  readonly cluster: ClusterConfig;
  readonly namespace: string;
  readonly createNamespace: boolean;
  readonly basicAuthSecret: string;
  readonly pullSecret: string;
  readonly serviceAccount: string;
  readonly registries: readonly string[];
  readonly registryHost: string | undefined;
  readonly baseImage: string;
  readonly platform: string;
  readonly awsEndpointUrl: string | undefined;
  readonly stsEndpointUrl: string | undefined;
  readonly logFormat: Format;
  readonly logLevel: Level;
}

const patterns = {
  // https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
  repository: /^(?=.{2,256}$)(?:[a-z0-9]+(?:[._-][a-z0-9]+)*\/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$/,
  principal: /^(\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::\d{12}:.+)$/,
  // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
  iamPolicy: /^[\w+=,.@-]{1,128}$/,
  image: /^[^\s"']+$/,
  platform: /^linux\/(amd64|arm64)$/,
  endpoint: /^https?:\/\/[^\s/]+\/?$/,
  stack: /^[A-Za-z0-9]([\w.-]{0,48}[A-Za-z0-9])?$/,
  // https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html
  eksCluster: /^[0-9A-Za-z][\w-]{0,99}$/,
};

/**
 * Reads the stack's configuration. Throws one error that Pulumi shows without a stack trace and that names every mistake:
 * the key, its value, what would be right.
 */
export function readConfig(): StackConfig {
  const config = new ConfigReader();
  const { string, strings, boolean } = config;
  const name = "a name of a Kubernetes object (lower case, digits, - and .)";
  const endpoint = "http://HOST[:PORT] or https://HOST[:PORT]";
  const cluster = readCluster(config);

  const result: StackConfig = {
    repositoryName: string("repositoryName", patterns.repository, "a name of an ECR repository (2 to 256, lower case)"),
    repositoryPrincipals: strings(
      "repositoryPrincipals",
      patterns.principal,
      'account ids of 12 digits, IAM ARNs, or "*"',
    ),
    forceDelete: boolean("forceDelete"),
    identity: readIdentity(config, "eksCluster" in cluster),
    policyName: string("policyName", patterns.iamPolicy, "1 to 128 letters, digits or +=,.@_-"),
    ...readHardening(config),
    cluster,
    namespace: string("namespace", namespaceName, "a name of a namespace (at most 63, lower case, digits and -)"),
    createNamespace: boolean("createNamespace"),
    ...readTargets(config),
    basicAuthSecret: string("basicAuthSecret", objectName, name),
    pullSecret: string("pullSecret", objectName, name),
    serviceAccount: string("serviceAccount", objectName, name),
    registries: strings("registries", registryHost, "hosts ACCOUNT.dkr.ecr.REGION.amazonaws.com"),
    registryHost: config.optional("registryHost", anyHost, "HOST or HOST:PORT, without https://"),
    baseImage: string("baseImage", patterns.image, "a reference of an image"),
    platform: string("platform", patterns.platform, "linux/amd64 or linux/arm64"),
    awsEndpointUrl: config.optional("awsEndpointUrl", patterns.endpoint, endpoint),
    stsEndpointUrl: config.optional("stsEndpointUrl", patterns.endpoint, endpoint),
    logFormat: config.oneOf("logFormat", formats),
    logLevel: config.oneOf("logLevel", levels),
  };
  if (!patterns.stack.test(pulumi.getStack())) {
    const expected = "1 to 50 letters, digits, - _ or ., as it becomes part of a label in Kubernetes";
    config.complaint(`the stack's name ${JSON.stringify(pulumi.getStack())}: expected ${expected}`);
  }
  if (result.basicAuthSecret === result.pullSecret) {
    config.mistake(
      "pullSecret",
      result.pullSecret,
      "another name than basicAuthSecret's: they are secrets of two types",
    );
  }
  const logins = basicAuthNames(result.basicAuthSecret, ["", ...regionsOf(result.registries)]);
  if (result.basicAuthSecret !== result.pullSecret && [...logins.values()].includes(result.pullSecret)) {
    config.mistake("pullSecret", result.pullSecret, "another name: a further region's login for builds has this one");
  }
  config.throwMistakes();
  return Object.freeze(result);
}

function readCluster(config: ConfigReader): ClusterConfig {
  const kubeconfig = config.optional("kubeconfig", /./s, "the path of a kubeconfig, or its content");
  const context = config.optional("context", /./, "the name of a context");
  const eksCluster = config.optional("eksCluster", patterns.eksCluster, "the name of an EKS cluster");
  const anyKubeconfig = kubeconfig ?? context;
  if (eksCluster !== undefined) {
    if (anyKubeconfig !== undefined) {
      config.mistake(
        "eksCluster",
        eksCluster,
        "not to be set together with kubeconfig or context: they name a cluster too",
      );
    }
    return { eksCluster };
  }
  if (anyKubeconfig === undefined) {
    config.mistake(
      "kubeconfig",
      "",
      "one of kubeconfig, context or eksCluster to say which cluster; the current context is not taken by accident",
    );
  }
  const isContent = kubeconfig?.includes("clusters") === true;
  if (kubeconfig !== undefined && !isContent && !existsSync(kubeconfig)) {
    config.mistake(
      "kubeconfig",
      kubeconfig,
      "the path of a file that exists (from the project's folder), or a kubeconfig's content",
    );
  }
  return { kubeconfig, context };
}

function readTargets(config: ConfigReader): TargetRules {
  const expected = "names of namespaces or patterns of them (lower case, digits, -, and * or ? for any)";
  const targets = {
    buildNamespaces: [...new Set(config.strings("buildNamespaces", namespacePattern, expected))],
    excludeNamespaces: [...new Set(config.strings("excludeNamespaces", namespacePattern, expected))],
    namespaceSelector: readSelector(config),
  };
  for (const name of targets.buildNamespaces.filter((one) => namespacePattern.test(one) && !isPattern(one))) {
    if (!namespaceName.test(name)) config.mistake("buildNamespaces", name, expected);
  }
  if (!isOpenEnded(targets) && namedNamespaces(targets).length === 0) {
    const value = JSON.stringify(targets.buildNamespaces);
    config.mistake(
      "buildNamespaces",
      value,
      "one namespace at least that is not in excludeNamespaces, or a namespaceSelector",
    );
  }
  return targets;
}

function readSelector(config: ConfigReader): string {
  const selector = config.optional("namespaceSelector", /./, "a label selector") ?? "";
  try {
    if (selector !== "") parseSelector(selector);
  } catch (error) {
    config.mistake("namespaceSelector", selector, `a label selector as kubectl has it, but ${reasonOf(error)}`);
  }
  return selector;
}
