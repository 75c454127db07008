// The stack's configuration: read only here, and validated as a whole before any resource is registered.
import * as pulumi from "@pulumi/pulumi";
import { checkVpcEndpoint, readAwsConnection, type AwsConnectionConfig } from "./aws-connection.ts";
import { policyName } from "./aws-names.ts";
import { readCluster, type ClusterConfig } from "./cluster.ts";
import { readImage, type ImageConfig } from "./image.ts";
import { ConfigReader } from "./reader.ts";
import {
  readIamOptions,
  readIdentity,
  readPushRole,
  type IamOptions,
  type IdentityConfig,
  type PushRoleConfig,
} from "./identity.ts";
import { readNetwork, type NetworkConfig } from "./network.ts";
import { readPod, type PodConfig } from "./pod.ts";
import { podAdmissionVersions, type PodAdmissionVersion } from "../admission/pods.ts";
import { ownNameMistake } from "../first-pull.ts";
import type { RepositoryLists } from "../image-rights.ts";
import { hostOfRegistry, type Registry } from "../registry.ts";
import { readRepository, type RepositoryConfig } from "./repository.ts";
import { allLogins, readRegistriesConfig, type RegistriesConfig } from "./registries.ts";
import { checkPolicySize, readRights } from "./rights.ts";
import { readSecrets } from "./secrets.ts";
import { readSelector } from "./selector.ts";
import { readAccountRules } from "./service-accounts.ts";
import type { AccountRules } from "../../helper/shared/account-rules.ts";
import { formats, levels, type Format, type Level } from "../../helper/shared/log-options.ts";
import {
  namespaceName,
  namespacePattern,
  objectName,
  parseRegistryHost,
  publicRegistryHost,
} from "../../helper/shared/names.ts";
import { isDynamic, staticNamespaces, type NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import { basicAuthNames, type RegistryLogin } from "../../helper/shared/registry-logins.ts";
import type { SecretDefinition } from "../../helper/shared/secret-definition.ts";

/** The validated configuration. Pulumi.yaml has the meaning and the default of each key. */
export interface StackConfig
  extends
    AwsConnectionConfig,
    NamespaceRules,
    AccountRules,
    IamOptions,
    NetworkConfig,
    PodConfig,
    RepositoryConfig,
    RegistriesConfig,
    RepositoryLists {
  readonly identity: IdentityConfig;
  readonly policyName: string;
  /** Undefined if nothing is pushed. */
  readonly pushRole: PushRoleConfig | undefined;
  readonly cluster: ClusterConfig;
  readonly namespace: string;
  readonly createNamespace: boolean;
  readonly replicas: number;
  readonly admissionPolicy: boolean;
  readonly podAdmission: PodAdmissionVersion;
  readonly basicAuthSecret: string;
  readonly pullSecret: string;
  /** The further secrets. */
  readonly secrets: readonly SecretDefinition[];
  readonly image: ImageConfig;
  readonly logFormat: Format;
  readonly logLevel: Level;
}

/** The name of the helper's Deployment, service account and credentials secret. */
export const app = "ecr-helper";

/** The name of the stack's objects that belong to no namespace. It is unique to the stack. */
export const clusterName = (): string => `${pulumi.getProject()}-${pulumi.getStack()}`;

const patterns = {
  // They roll over one after the other, within the time that `pulumi up` waits for a rollout.
  replicas: /^[1-5]$/,
  stack: /^[A-Za-z0-9]([\w.-]{0,48}[A-Za-z0-9])?$/,
};

/**
 * Reads the stack's configuration; `own` is the stack's own registry. Throws one RunError, which Pulumi shows without a
 * stack trace, that lists every mistake: the key, its value, and what was expected.
 */
export function readConfig(own: Registry): StackConfig {
  const config = new ConfigReader();
  const { string, boolean } = config;
  const name = "a name of a Kubernetes object (lower case, digits, - and .)";
  const cluster = readCluster(config);
  const repository = readRepository(config, own);
  const registries = readRegistriesConfig(config, own);
  const image = readImage(config, own, registries);
  const rights = readRights(config, { ...repository, ...registries, own });
  const rules = readNamespaceRules(
    config,
    string("namespace", namespaceName, "a name of a namespace (at most 63, lower case, digits and -)"),
  );

  const names = {
    basicAuthSecret: string("basicAuthSecret", objectName, name),
    pullSecret: string("pullSecret", objectName, name),
  };

  const result: StackConfig = {
    ...repository,
    ...registries,
    ...rights,
    identity: readIdentity(config, "eksCluster" in cluster, own),
    policyName: string("policyName", policyName, "1 to 128 letters, digits or +=,.@_-"),
    pushRole: rights.pushRepositories.length === 0 ? undefined : readPushRole(config),
    ...readIamOptions(config, own),
    cluster,
    createNamespace: boolean("createNamespace"),
    replicas: Number(
      string("replicas", patterns.replicas, "a whole number from 1 to 5: one works, the others stand by"),
    ),
    ...readNetwork(config),
    admissionPolicy: boolean("admissionPolicy"),
    podAdmission: config.oneOf("podAdmission", podAdmissionVersions),
    ...rules,
    ...readPod(config, rules, image),
    ...names,
    secrets: readSecrets(config, { ...names, ...registries, ...rights, own, rules, app }),
    ...readAccountRules(config),
    image,
    ...readAwsConnection(config),
    logFormat: config.oneOf("logFormat", formats),
    logLevel: config.oneOf("logLevel", levels),
  };
  if (!patterns.stack.test(pulumi.getStack())) {
    const expected = "1 to 50 letters, digits, - _ or ., as it becomes part of a label in Kubernetes";
    config.addError(`the stack's name ${JSON.stringify(pulumi.getStack())}: expected ${expected}`);
  }
  const logins = allLogins(hostOfRegistry(own), result);
  checkPolicySize(config, { ...result, own });
  checkSecretNames(config, result, logins);
  checkVpcEndpoint(config, result, {
    regions: [...new Set(logins.flatMap(({ host }) => parseRegistryHost(host)?.region ?? []))],
    needsSts: result.identity.mode === "irsa" || result.pushRole !== undefined || result.registryRoles.length > 0,
    needsPublic: logins.some(({ host }) => host === publicRegistryHost),
  });
  config.throwMistakes();
  return Object.freeze(result);
}

function checkSecretNames(
  config: ConfigReader,
  { basicAuthSecret, pullSecret }: StackConfig,
  registries: readonly RegistryLogin[],
): void {
  const logins = [...basicAuthNames(basicAuthSecret, registries).values()];
  if (objectName.test(basicAuthSecret) && !logins.every((one) => objectName.test(one))) {
    config.addMistake(
      "basicAuthSecret",
      basicAuthSecret,
      "a shorter name: the region and role of each further login are put after it",
    );
  }
  if (logins[0] === pullSecret) {
    config.addMistake("pullSecret", pullSecret, "another name than basicAuthSecret's: they are secrets of two types");
  } else if (logins.includes(pullSecret)) {
    config.addMistake("pullSecret", pullSecret, "another name: a further login for builds has this one");
  }
  for (const [key, name] of Object.entries({ basicAuthSecret, pullSecret })) {
    const expected = ownNameMistake(name, app);
    if (expected !== undefined) config.addMistake(key, name, expected);
  }
}

function readNamespaceRules(config: ConfigReader, namespace: string): NamespaceRules {
  const expected = "names of namespaces or patterns of them (lower case, digits, -, and * or ? for any)";
  const rules = {
    buildNamespaces: [...new Set(config.strings("buildNamespaces", namespacePattern, expected))],
    excludeNamespaces: [...new Set(config.strings("excludeNamespaces", namespacePattern, expected))],
    namespaceSelector: readSelector(config, "namespaceSelector"),
    namespace,
  };
  if (!isDynamic(rules) && staticNamespaces(rules).length === 0) {
    const value = JSON.stringify(rules.buildNamespaces);
    config.addMistake(
      "buildNamespaces",
      value,
      "one namespace at least that is not in excludeNamespaces, or a namespaceSelector",
    );
  }
  return rules;
}
