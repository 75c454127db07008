// Reads what the helper logs in to and keeps: the registries of namespaces in a group and of those in none, and the secrets with their logins.
import { hasRegistryOf, tokensSecretNames, type Group } from "../shared/groups.ts";
import { objectName } from "../shared/names.ts";
import { basicAuthNames } from "../shared/registry-logins.ts";
import { parseDefinitions, type SecretDefinition } from "../shared/secret-definition.ts";
import { matching, type Environment, type EnvironmentReader } from "./environment-reader.ts";
import { groupRegistries, parseGroups } from "./groups.ts";
import type { IdentityConfig } from "./identity.ts";
import { readRegistries, registryLogins } from "./registries.ts";
import { registryLogin, requestsFor, tokenRequests, type RegistryConfig, type TokenRequest } from "./token-requests.ts";

/** What namespaces of a group, or of none, log in to. */
export interface LoginConfig extends RegistryConfig {
  /** Names of the secrets that builds log in with, by the names of the tokens for pulls; the first is the stack's own region, or the group's first login. */
  readonly basicAuthSecrets: ReadonlyMap<string, string>;
  /** The tokens, by the names that they have in the helper and its log. */
  readonly tokenRequests: ReadonlyMap<string, TokenRequest>;
  readonly furtherSecrets: readonly SecretDefinition[];
  /** Names of all secrets in these namespaces: a further one in some of them only. */
  readonly secretNames: readonly string[];
}

/** What is the same for all namespaces. */
export interface SharedLogins {
  /** Name of the secret that images are pulled with. */
  readonly pullSecret: string;
  /** Names of the secrets in the helper's own namespace: every token is in one, so that the next helper finds it. */
  readonly ownSecretNames: readonly string[];
  /** Names of all secrets that are kept anywhere. */
  readonly allSecretNames: readonly string[];
  /** The tokens of all namespaces: those to ask for. */
  readonly allTokenRequests: ReadonlyMap<string, TokenRequest>;
}

/** A group with what its namespaces log in to. */
export interface GroupLogins extends Pick<Group, "name" | "namespaces"> {
  readonly logins: LoginConfig;
}

/** What namespaces in no group log in to, with the groups. */
interface Logins extends LoginConfig, SharedLogins {
  readonly groups: readonly GroupLogins[];
}

/** Reads all of it. Mistakes go to the reader. */
export function readLogins(reader: EnvironmentReader, env: Environment, identity: IdentityConfig): Logins {
  const anObject = "a name of a Kubernetes object";
  const basicAuthSecret = reader.read("ECR_HELPER_BASIC_AUTH_SECRET", anObject, matching(objectName));
  const pullSecret = reader.read("ECR_HELPER_PULL_SECRET", anObject, matching(objectName));
  const groups = readGroups(reader);
  checkNames(reader, env, groups, basicAuthSecret, pullSecret);
  const own = withoutMistakes(readRegistries(reader));
  const ofGroups = groups.map((group) => groupRegistries(group, own));
  const all = [own, ...ofGroups];
  const allTokenRequests = tokenRequests({ ...own, registries: all.flatMap(({ registries }) => registries) }, identity);
  const namesOf = ({ registries }: RegistryConfig): ReadonlyMap<string, string> =>
    basicAuthNames(basicAuthSecret, registries.map(registryLogin));
  const tokensSecrets = tokensSecretNames({ groups, pullSecret });
  const taken = [...all.flatMap((one) => [...namesOf(one).values()]), pullSecret, ...tokensSecrets];
  const furtherSecrets = readFurtherSecrets(reader, all, taken);
  const hosts = { ownHost: own.registries[0]?.host ?? "", registryHost: own.registryHost };
  const loginsOf = (config: RegistryConfig): LoginConfig => {
    const basicAuthSecrets = namesOf(config);
    const known = config.registries.map(({ host }) => host);
    const further = furtherSecrets.filter((one) => hasRegistryOf(one, known, hosts));
    return {
      ...config,
      basicAuthSecrets,
      tokenRequests: requestsFor(config.registries, allTokenRequests),
      furtherSecrets: further,
      secretNames: [...basicAuthSecrets.values(), pullSecret, ...further.map(({ name }) => name)],
    };
  };
  const logins = loginsOf(own);
  const pushed = identity.pushRole === undefined ? [] : logins.basicAuthSecrets.values();
  return {
    ...logins,
    ...{ pullSecret, allTokenRequests },
    ownSecretNames: [...pushed, pullSecret, ...tokensSecrets],
    allSecretNames: [...new Set([...taken, ...furtherSecrets.map(({ name }) => name)])],
    groups: groups.map(({ name, namespaces }, index) => ({
      name,
      namespaces,
      logins: loginsOf(ofGroups[index] ?? own),
    })),
  };
}

/** After a mistake there may be no registries, against their type. */
const withoutMistakes = ({ registries = [], registryHost }: Partial<RegistryConfig>): RegistryConfig => ({
  registries,
  registryHost,
});

function readGroups(reader: EnvironmentReader): readonly Group[] {
  const form = "empty, or groups as JSON, [{name, namespaces, registries: [{host, roleArn, externalId, sessionTags}]}]";
  return reader.read<readonly Group[] | undefined>("ECR_HELPER_GROUPS", form, parseGroups) ?? [];
}

/** Checks the names of secrets that are made of a name, a region and a role, or of a name and a group. */
function checkNames(
  reader: EnvironmentReader,
  env: Environment,
  groups: readonly Group[],
  basicAuthSecret: string,
  pullSecret: string,
): void {
  // From the variable itself, so that these mistakes are found even where another registry in it is wrong.
  const all = [registryLogins(env), ...groups.map(({ registries }) => registries)];
  const logins = all.flatMap((some) => [...basicAuthNames(basicAuthSecret, some).values()]);
  if (isObjectName(basicAuthSecret) && !logins.every(isObjectName)) {
    const shorter = "a shorter name: the region and role of each further login are put after it";
    reader.addMistake("ECR_HELPER_BASIC_AUTH_SECRET", basicAuthSecret, shorter);
  }
  if (!isObjectName(pullSecret)) return;
  const tokensSecrets = tokensSecretNames({ groups, pullSecret });
  if (!tokensSecrets.every(isObjectName)) {
    reader.addMistake("ECR_HELPER_PULL_SECRET", pullSecret, "a shorter name: the name of each group is put after it");
  }
  if ([pullSecret, ...tokensSecrets].some((one) => logins.includes(one))) {
    const another = "another name: a secret that builds log in with has this one";
    reader.addMistake("ECR_HELPER_PULL_SECRET", pullSecret, another);
  }
}

/** False for the undefined that a mistake leaves, too. */
const isObjectName = (value: string | undefined): boolean => value !== undefined && objectName.test(value);

/** Reads the further secrets, which may not have the names of others. */
function readFurtherSecrets(
  reader: EnvironmentReader,
  all: readonly RegistryConfig[],
  taken: readonly string[],
): readonly SecretDefinition[] {
  const hosts = [
    "",
    ...all.flatMap(({ registries, registryHost }) => [registryHost, ...registries.map(({ host }) => host)]),
  ];
  const parse = (value: string): readonly SecretDefinition[] | undefined => {
    const found = parseDefinitions(value);
    return found?.every(({ name, registry }) => !taken.includes(name) && hosts.includes(registry)) ? found : undefined;
  };
  const expected = "the JSON of further secrets, with names and registries of their own";
  return reader.read<readonly SecretDefinition[] | undefined>("ECR_HELPER_SECRETS", expected, parse) ?? [];
}
