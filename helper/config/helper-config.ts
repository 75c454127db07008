// The helper's configuration: the environment, read once, validated as a whole, frozen.
import type { AccountRules } from "../shared/account-rules.ts";
import type { HelperVariable } from "../shared/environment.ts";
import type { Group } from "../shared/groups.ts";
import { formats, levels, type Format, type Level } from "../shared/log-options.ts";
import { accountPattern, labelValue, namespaceName, namespacePattern, objectName } from "../shared/names.ts";
import { parseSelector, type NamespaceRules } from "../shared/namespace-rules.ts";
import { readAwsConnection, type AwsConnection } from "./aws-connection.ts";
import { EnvironmentReader, commaSeparated, matching, oneOf, type Environment } from "./environment-reader.ts";
import { readIdentity, type IdentityConfig } from "./identity.ts";
import { readLogins, type GroupLogins, type LoginConfig, type SharedLogins } from "./logins.ts";

/** Everything that the stack tells its helper. */
export interface HelperConfig extends NamespaceRules, AccountRules, LoginConfig, SharedLogins, IdentityConfig {
  /** The groups of namespaces, each with the configuration as it is for these: it differs in its LoginConfig. */
  readonly groups: readonly GroupConfig[];
  readonly awsConnection: AwsConnection;
  /** Name of the helper's own pod. */
  readonly pod: string;
  /** The hash of the template that the pod was made from: helpers of another one have another image or configuration. */
  readonly template: string;
  /** Name of the helper's own Deployment. */
  readonly deployment: string;
  /** Name of the first of the ClusterRoles that own what the helper creates, so that it is deleted with the stack. */
  readonly owner: string;
  /** Name of the ClusterRole that the stack deletes first: a helper that stops and does not find it cleans up. */
  readonly marker: string;
  readonly logFormat: Format;
  readonly logLevel: Level;
  /** Port of /healthz, /readyz and /metrics; 0 for any free one. */
  readonly port: number;
}

/** A group with the configuration for its namespaces, which has no groups. */
export interface GroupConfig extends Pick<Group, "name" | "namespaces"> {
  readonly config: HelperConfig;
}

/**
 * Reads the configuration. The stack sets every variable, so there are no defaults here. Throws one error with all mistakes:
 * the variable, its value and what is expected.
 */
export function readConfig(env: Environment): HelperConfig {
  const reader = new EnvironmentReader(env);
  const identity = readIdentity(reader, env);
  const { groups, ...logins } = readLogins(reader, env, identity);
  const config: Omit<HelperConfig, "groups"> = {
    ...logins,
    ...readNamespaceRules(reader),
    ...identity,
    awsConnection: readAwsConnection(reader, env),
    ...readAccountRules(reader),
    pod: readObjectName(reader, "ECR_HELPER_POD", "the helper's own pod"),
    template: reader.read("ECR_HELPER_TEMPLATE", "the hash of the pod's template", matching(labelValue)),
    deployment: readObjectName(reader, "ECR_HELPER_DEPLOYMENT", "the helper's own Deployment"),
    owner: reader.read(
      "ECR_HELPER_OWNER_NAME",
      "the name of the ClusterRole that owns what is kept",
      matching(labelValue),
    ),
    marker: readObjectName(reader, "ECR_HELPER_MARKER", "the name of the ClusterRole that exists as long as the stack"),
    logFormat: reader.read("ECR_HELPER_LOG_FORMAT", formats.join(" or "), oneOf(formats)),
    logLevel: reader.read("ECR_HELPER_LOG_LEVEL", levels.join(", "), oneOf(levels)),
    port: reader.read("ECR_HELPER_PORT", "a port, 0 for any free one", parsePort),
  };
  reader.throwMistakes();
  const ofGroup = ({ name, namespaces, logins }: GroupLogins): GroupConfig => ({
    name,
    namespaces,
    config: Object.freeze({ ...config, ...logins, groups: [] }),
  });
  return Object.freeze({ ...config, groups: groups.map(ofGroup) });
}

const readObjectName = (reader: EnvironmentReader, name: HelperVariable, expected: string): string =>
  reader.read(name, expected, matching(objectName));

function readNamespaceRules(reader: EnvironmentReader): NamespaceRules {
  const [names, parseNames] = ["names or patterns of namespaces, comma-separated", matching(namespacePattern)];
  return {
    buildNamespaces: reader.read("ECR_HELPER_BUILD_NAMESPACES", names, commaSeparated(parseNames)),
    excludeNamespaces: reader.read("ECR_HELPER_EXCLUDE_NAMESPACES", names, commaSeparated(parseNames)),
    namespaceSelector: reader.read("ECR_HELPER_NAMESPACE_SELECTOR", "a label selector", validSelector),
    namespace: reader.read("ECR_HELPER_NAMESPACE", "the helper's own namespace", matching(namespaceName)),
  };
}

function readAccountRules(reader: EnvironmentReader): AccountRules {
  const names = "names or patterns of service accounts, comma-separated";
  return {
    serviceAccounts: reader.read("ECR_HELPER_SERVICE_ACCOUNTS", names, commaSeparated(matching(accountPattern))),
    serviceAccountSelector: reader.read("ECR_HELPER_SERVICE_ACCOUNT_SELECTOR", "a label selector", validSelector),
  };
}

function validSelector(value: string): string | undefined {
  try {
    if (value !== "") parseSelector(value);
    return value;
  } catch {
    return undefined; // The reader reports the mistake, with the value.
  }
}

const parsePort = (value: string): number | undefined =>
  /^\d{1,5}$/.test(value) && Number(value) < 65536 ? Number(value) : undefined;
