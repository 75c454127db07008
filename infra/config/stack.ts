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
  type AssumedRoleConfig,
} from "./identity.ts";
import { readNetwork, type NetworkConfig } from "./network.ts";
import { readPod, type PodConfig } from "./pod.ts";
import { podAdmissionVersions, type PodAdmissionVersion } from "../admission/pods.ts";
import { groupsOf } from "../groups.ts";
import { readGroups, type GroupConfig } from "./groups.ts";
import type { RepositoryLists } from "../image-rights.ts";
import { hostOfRegistry, type Registry } from "../registry.ts";
import { readRepository, type RepositoryConfig } from "./repository.ts";
import { allLogins, readRegistriesConfig, tokenCount, type RegistriesConfig } from "./registries.ts";
import { rejectOwnRoles } from "./own-roles.ts";
import { checkPolicySize } from "./policy-size.ts";
import { readRights } from "./rights.ts";
import { checkSecretNames, checkSecretNamespaces } from "./secret-names.ts";
import { readSecrets } from "./secrets.ts";
import { readSelector } from "./selector.ts";
import { readAccountRules } from "./service-accounts.ts";
import { checkVariableSize } from "./variable-size.ts";
import type { AccountRules } from "../../helper/shared/account-rules.ts";
import { formats, levels, type Format, type Level } from "../../helper/shared/log-options.ts";
import type { Group } from "../../helper/shared/groups.ts";
import {
  namespaceName,
  namespacePattern,
  objectName,
  parseRegistryHost,
  publicRegistryHost,
} from "../../helper/shared/names.ts";
import { isDynamic, staticNamespaces, type NamespaceRules } from "../../helper/shared/namespace-rules.ts";
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
  readonly pushRole: AssumedRoleConfig | undefined;
  /** Groups of build namespaces that log in by roles of their own. */
  readonly groups: readonly GroupConfig[];
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

  const groups = readGroups(config, { ...repository, ...registries, own, rules });
  const iamOptions = readIamOptions(config, own);
  const groupLogins = groupsOf({ groups, ...iamOptions }, own, hostOfRegistry(own));
  const logins = [...allLogins(hostOfRegistry(own), registries), ...groupLogins.flatMap((group) => group.registries)];
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
    groups,
    ...iamOptions,
    cluster,
    createNamespace: boolean("createNamespace"),
    replicas: Number(
      string("replicas", patterns.replicas, "a whole number from 1 to 5: one works, the others stand by"),
    ),
    ...readNetwork(config),
    admissionPolicy: boolean("admissionPolicy"),
    podAdmission: config.oneOf("podAdmission", podAdmissionVersions),
    ...rules,
    ...readPod(config, rules, image, tokenCount(logins, rights.pushRepositories.length > 0)),
    ...names,
    secrets: readSecrets(config, {
      ...{ ...names, ...registries, ...rights, own, rules, app },
      groups: groupLogins,
      isPushed: [rights, ...groups].some(({ pushRepositories }) => pushRepositories.length > 0),
    }),
    ...readAccountRules(config),
    image,
    ...readAwsConnection(config),
    logFormat: config.oneOf("logFormat", formats),
    logLevel: config.oneOf("logLevel", levels),
  };
  checkTogether(config, result, own, groupLogins);
  config.throwMistakes();
  return Object.freeze(result);
}

/** Collects the mistakes that several keys together have, and the one in the stack's name. */
function checkTogether(config: ConfigReader, result: StackConfig, own: Registry, groups: readonly Group[]): void {
  if (!patterns.stack.test(pulumi.getStack())) {
    const expected = "1 to 50 letters, digits, - _ or ., as it becomes part of a label in Kubernetes";
    config.addError(`the stack's name ${JSON.stringify(pulumi.getStack())}: expected ${expected}`);
  }
  checkPolicySize(config, { ...result, own });
  checkVariableSize(config, "registries", result.registryRoles, result.registryRoles);
  checkVariableSize(config, "groups", groups, groups);
  rejectOwnRoles(config, result, own);
  const logins = allLogins(hostOfRegistry(own), result);
  checkSecretNames(config, { ...result, app }, { registries: logins, groups });
  checkSecretNamespaces(config, result, { registries: logins, groups });
  const hosts = [...logins, ...groups.flatMap((group) => group.registries)].map(({ host }) => host);
  checkVpcEndpoint(config, result, {
    regions: [...new Set(hosts.flatMap((host) => parseRegistryHost(host)?.region ?? []))],
    needsSts: needsSts(result),
    needsPublic: hosts.includes(publicRegistryHost),
  });
}

/** Whether the helper asks STS for credentials. A group's logins are always those of a role. */
const needsSts = ({ identity, pushRole, registryRoles, groups }: StackConfig): boolean =>
  identity.mode === "irsa" || pushRole !== undefined || registryRoles.length > 0 || groups.length > 0;

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
