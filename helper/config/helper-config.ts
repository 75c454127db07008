// The helper's configuration: the environment, read once, validated as a whole, frozen.
import type { AccountRules } from "../shared/account-rules.ts";
import type { HelperVariable } from "../shared/environment.ts";
import { formats, levels, type Format, type Level } from "../shared/log-options.ts";
import { accountPattern, labelValue, namespaceName, namespacePattern, objectName } from "../shared/names.ts";
import { parseSelector, type NamespaceRules } from "../shared/namespace-rules.ts";
import { basicAuthNames } from "../shared/registry-logins.ts";
import { parseDefinitions, type SecretDefinition } from "../shared/secret-definition.ts";
import { readAwsConnection, type AwsConnection } from "./aws-connection.ts";
import { EnvironmentReader, commaSeparated, matching, oneOf, type Environment } from "./environment-reader.ts";
import { readIdentity, type IdentityConfig } from "./identity.ts";
import { readRegistries, registryLogins } from "./registries.ts";
import { tokenRequests, type RegistryConfig, type TokenRequest } from "./token-requests.ts";

interface SecretConfig {
  /** Names of the secrets that builds log in with, by the names of the tokens for pulls; the first is the stack's own region. */
  readonly basicAuthSecrets: ReadonlyMap<string, string>;
  /** Name of the secret that images are pulled with. */
  readonly pullSecret: string;
}

/** Everything that the stack tells its helper. */
export interface HelperConfig extends NamespaceRules, AccountRules, RegistryConfig, SecretConfig, IdentityConfig {
  /** The further secrets that are kept in build namespaces. */
  readonly furtherSecrets: readonly SecretDefinition[];
  /** Names of all secrets that are kept in build namespaces: a further one in some of these only. */
  readonly secretNames: readonly string[];
  /** Names of those that are kept in the helper's own namespace: every token is in one, so that the next helper finds it. */
  readonly ownSecretNames: readonly string[];
  /** The tokens to ask for, by the names that they have in the helper and its log. */
  readonly tokenRequests: ReadonlyMap<string, TokenRequest>;
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

const anObject = "a name of a Kubernetes object";

/**
 * Reads the configuration. The stack sets every variable, so there are no defaults here. Throws one error with all mistakes:
 * the variable, its value and what is expected.
 */
export function readConfig(env: Environment): HelperConfig {
  const reader = new EnvironmentReader(env);
  const secrets = readSecrets(reader, env);
  const identity = readIdentity(reader, env);
  const logins = [...secrets.basicAuthSecrets.values()];
  const registries = readRegistries(reader);
  const furtherSecrets = readFurtherSecrets(reader, registries, [...logins, secrets.pullSecret]);
  const config: HelperConfig = {
    ...registries,
    ...readNamespaceRules(reader),
    ...secrets,
    ...identity,
    furtherSecrets,
    secretNames: [...logins, secrets.pullSecret, ...furtherSecrets.map(({ name }) => name)],
    ownSecretNames: [...(identity.pushRole === undefined ? [] : logins), secrets.pullSecret],
    tokenRequests: tokenRequests(registries, identity),
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
  return Object.freeze(config);
}

const readObjectName = (reader: EnvironmentReader, name: HelperVariable, expected = anObject): string =>
  reader.read(name, expected, matching(objectName));

/** Reads the further secrets, which may not have the names of others. */
function readFurtherSecrets(
  reader: EnvironmentReader,
  { registries = [], registryHost }: Partial<RegistryConfig>,
  taken: readonly string[],
): readonly SecretDefinition[] {
  const hosts = ["", registryHost, ...registries.map(({ host }) => host)];
  const parse = (value: string): readonly SecretDefinition[] | undefined => {
    const found = value === "" ? [] : parseDefinitions(value);
    return found?.every(({ name, registry }) => !taken.includes(name) && hosts.includes(registry)) ? found : undefined;
  };
  const expected = "the JSON of further secrets, with names and registries of their own";
  return reader.read<readonly SecretDefinition[] | undefined>("ECR_HELPER_SECRETS", expected, parse) ?? [];
}

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

/** Reads the secrets' names, and checks those that are made of a name, a region and a role. */
function readSecrets(reader: EnvironmentReader, env: Environment): SecretConfig {
  const basicAuthSecret = readObjectName(reader, "ECR_HELPER_BASIC_AUTH_SECRET");
  const pullSecret = readObjectName(reader, "ECR_HELPER_PULL_SECRET");
  // From the variable itself, so that these mistakes are found even where another registry in it is wrong.
  const basicAuthSecrets = basicAuthNames(basicAuthSecret, registryLogins(env));
  const logins = [...basicAuthSecrets.values()];
  if (isObjectName(basicAuthSecret) && !logins.every(isObjectName)) {
    const shorter = "a shorter name: the region and role of each further login are put after it";
    reader.addMistake("ECR_HELPER_BASIC_AUTH_SECRET", basicAuthSecret, shorter);
  }
  if (isObjectName(pullSecret) && logins.includes(pullSecret)) {
    const another = "another name: a secret that builds log in with has this one";
    reader.addMistake("ECR_HELPER_PULL_SECRET", pullSecret, another);
  }
  return { basicAuthSecrets, pullSecret };
}

/** False for the undefined that a mistake leaves, too. */
const isObjectName = (value: string | undefined): boolean => value !== undefined && objectName.test(value);

const parsePort = (value: string): number | undefined =>
  /^\d{1,5}$/.test(value) && Number(value) < 65536 ? Number(value) : undefined;
