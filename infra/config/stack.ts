// The stack's configuration: read here and nowhere else, checked whole before any resource is registered.
import * as pulumi from "@pulumi/pulumi";
import { endpointUrl, imagePath, policyName } from "./aws-names.ts";
import { readCluster, type ClusterConfig } from "./cluster.ts";
import { ConfigReader } from "./reader.ts";
import {
  readIamOptions,
  readIdentity,
  readPushRole,
  type IamOptions,
  type IdentityConfig,
  type PushRoleConfig,
} from "./identity.ts";
import { firstPullPrefix } from "../first-pull.ts";
import type { Registry } from "../registry.ts";
import { readRepository, type RepositoryConfig } from "./repository.ts";
import { readRights, type RightsConfig } from "./rights.ts";
import { errorMessage } from "../../helper/shared/messages.ts";
import { formats, levels, type Format, type Level } from "../../helper/shared/log-options.ts";
import {
  hostWithOptionalPort,
  basicAuthNames,
  dnsName,
  namespaceName,
  namespacePattern,
  objectName,
  portSuffix,
  regionsOf,
} from "../../helper/shared/names.ts";
import {
  isDynamic,
  staticNamespaces,
  parseSelector,
  type NamespaceRules,
} from "../../helper/shared/namespace-rules.ts";

/** Which traffic of the helper's pod is limited. */
export const networkPolicies = ["none", "ingress", "all"] as const;

/** The keys of Pulumi.yaml, where each one's meaning and default stands. */
export interface StackConfig extends NamespaceRules, IamOptions, RepositoryConfig, RightsConfig {
  readonly identity: IdentityConfig;
  readonly policyName: string;
  /** Undefined where nothing is pushed. */
  readonly pushRole: PushRoleConfig | undefined;
  readonly cluster: ClusterConfig;
  readonly namespace: string;
  readonly createNamespace: boolean;
  readonly networkPolicy: (typeof networkPolicies)[number];
  /** Whose pods may ask for metrics; all, where none is named. */
  readonly monitoringNamespaces: readonly string[];
  readonly admissionPolicy: boolean;
  readonly basicAuthSecret: string;
  readonly pullSecret: string;
  readonly serviceAccount: string;
  readonly registryHost: string | undefined;
  readonly baseImage: string;
  readonly platform: string;
  readonly awsEndpointUrl: string | undefined;
  readonly stsEndpointUrl: string | undefined;
  readonly logFormat: Format;
  readonly logLevel: Level;
}

/** The name of the helper's Deployment, service account and credentials secret. */
export const app = "ecr-helper";

// https://github.com/distribution/reference/blob/main/regexp.go
const patterns = {
  image: new RegExp(
    `^(?=.{1,500}$)(?:(?=[^/]*[.:])${dnsName}${portSuffix}/|localhost/)?${imagePath}` +
      "(?::\\w[\\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$",
  ),
  platform: /^linux\/(amd64|arm64)$/,
  stack: /^[A-Za-z0-9]([\w.-]{0,48}[A-Za-z0-9])?$/,
};

/**
 * Reads the stack's configuration; its own registry is known. Throws one error that Pulumi shows without a stack trace and
 * that names every mistake: the key, its value, what would be right.
 */
export function readConfig(own: Registry): StackConfig {
  const config = new ConfigReader();
  const { string, boolean } = config;
  const name = "a name of a Kubernetes object (lower case, digits, - and .)";
  const cluster = readCluster(config);
  const repository = readRepository(config, own);
  const rights = readRights(config, own, repository.repositoryName);

  const result: StackConfig = {
    ...repository,
    ...rights,
    identity: readIdentity(config, "eksCluster" in cluster),
    policyName: string("policyName", policyName, "1 to 128 letters, digits or +=,.@_-"),
    pushRole: rights.pushRepositories.length === 0 ? undefined : readPushRole(config),
    ...readIamOptions(config),
    cluster,
    createNamespace: boolean("createNamespace"),
    networkPolicy: config.oneOf("networkPolicy", networkPolicies),
    monitoringNamespaces: readMonitoring(config),
    admissionPolicy: boolean("admissionPolicy"),
    ...readTargets(
      config,
      string("namespace", namespaceName, "a name of a namespace (at most 63, lower case, digits and -)"),
    ),
    basicAuthSecret: string("basicAuthSecret", objectName, name),
    pullSecret: string("pullSecret", objectName, name),
    serviceAccount: string("serviceAccount", objectName, name),
    registryHost: config.optional("registryHost", hostWithOptionalPort, "HOST or HOST:PORT, without https://"),
    baseImage: string("baseImage", patterns.image, "NAME[:TAG][@sha256:DIGEST] of an image"),
    platform: string("platform", patterns.platform, "linux/amd64 or linux/arm64"),
    ...readEndpoints(config),
    logFormat: config.oneOf("logFormat", formats),
    logLevel: config.oneOf("logLevel", levels),
  };
  if (!patterns.stack.test(pulumi.getStack())) {
    const expected = "1 to 50 letters, digits, - _ or ., as it becomes part of a label in Kubernetes";
    config.addError(`the stack's name ${JSON.stringify(pulumi.getStack())}: expected ${expected}`);
  }
  checkSecretNames(config, result);
  config.throwMistakes();
  return Object.freeze(result);
}

function checkSecretNames(config: ConfigReader, { basicAuthSecret, pullSecret, registries }: StackConfig): void {
  // The login of the own registry has the plain name, whatever its region is.
  const logins = [...basicAuthNames(basicAuthSecret, ["", ...regionsOf(registries)]).values()];
  if (objectName.test(basicAuthSecret) && !logins.every((one) => objectName.test(one))) {
    config.mistake("basicAuthSecret", basicAuthSecret, "a shorter name: each further region is put after it");
  }
  if (logins[0] === pullSecret) {
    config.mistake("pullSecret", pullSecret, "another name than basicAuthSecret's: they are secrets of two types");
  } else if (logins.includes(pullSecret)) {
    config.mistake("pullSecret", pullSecret, "another name: a further region's login for builds has this one");
  }
  for (const [key, name] of Object.entries({ basicAuthSecret, pullSecret })) {
    if (name !== app && !name.startsWith(firstPullPrefix)) continue;
    config.mistake(key, name, `another name: the stack's own secrets are ${app}, and ${firstPullPrefix}...`);
  }
}

/** What goes over http:// is read by whoever is on the way: a token opens all that the helper's identity may. */
function readEndpoints(config: ConfigReader): Pick<StackConfig, "awsEndpointUrl" | "stsEndpointUrl"> {
  const isInsecure = config.boolean("insecureEndpoints");
  const read = (key: string): string | undefined => {
    const url = config.optional(key, endpointUrl, "https://HOST[:PORT]");
    if (url?.toLowerCase().startsWith("http:") === true && !isInsecure) {
      const why =
        "the tokens would come over the network in the clear. insecureEndpoints = true allows it, for an emulator";
      config.mistake(key, url, `https://HOST[:PORT]: ${why}`);
    }
    return url;
  };
  return { awsEndpointUrl: read("awsEndpointUrl"), stsEndpointUrl: read("stsEndpointUrl") };
}

function readMonitoring(config: ConfigReader): readonly string[] {
  const key = "monitoringNamespaces";
  const namespaces = config.strings(key, namespaceName, "names of namespaces (at most 63, lower case, digits and -)");
  if (namespaces.length > 0 && config.explicitValue("networkPolicy") === "none") {
    config.mistake(key, JSON.stringify(namespaces), "nothing: networkPolicy is none");
  }
  return [...new Set(namespaces)];
}

function readTargets(config: ConfigReader, namespace: string): NamespaceRules {
  const expected = "names of namespaces or patterns of them (lower case, digits, -, and * or ? for any)";
  const targets = {
    buildNamespaces: [...new Set(config.strings("buildNamespaces", namespacePattern, expected))],
    excludeNamespaces: [...new Set(config.strings("excludeNamespaces", namespacePattern, expected))],
    namespaceSelector: readSelector(config),
    namespace,
  };
  if (!isDynamic(targets) && staticNamespaces(targets).length === 0) {
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
  const selector = config.optional("namespaceSelector", /^/, "a label selector") ?? "";
  try {
    if (selector !== "") parseSelector(selector);
  } catch (error) {
    const why = config.isSecret("namespaceSelector") ? "" : `, but ${errorMessage(error)}`;
    config.mistake("namespaceSelector", selector, `a label selector as kubectl has it${why}`);
  }
  return selector;
}
