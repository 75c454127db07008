// The names of the secrets that the helper keeps: in all build namespaces, and in each of them.
import { createGroupOf, hasRegistryOf, tokensSecretNames, type Group } from "../helper/shared/groups.ts";
import { basicAuthNames, type RegistryLogin } from "../helper/shared/registry-logins.ts";
import { isIn, type SecretDefinition } from "../helper/shared/secret-definition.ts";

/** The logins that namespaces get: those of the stack, that of its own registry first, and those of its groups. */
export interface Logins {
  readonly registries: readonly RegistryLogin[];
  readonly groups: readonly Group[];
}

/** The names that the configuration chooses. */
export interface ChosenNames {
  readonly basicAuthSecret: string;
  readonly pullSecret: string;
}

/** The names of the secrets beside the further ones. */
export interface KeptNames {
  /** The logins for builds, of the stack and of its groups. */
  readonly basicAuthSecrets: readonly string[];
  readonly pullSecret: string;
  /** The groups' tokens, which are in the helper's own namespace alone. */
  readonly tokensSecrets: readonly string[];
}

const loginNames = ({ basicAuthSecret }: ChosenNames, registries: readonly RegistryLogin[]): string[] => [
  ...basicAuthNames(basicAuthSecret, registries).values(),
];

/** The names of all secrets but the further ones, each once. */
export function keptNames(names: ChosenNames, { registries, groups }: Logins): KeptNames {
  const { pullSecret } = names;
  const logins = [registries, ...groups.map((group) => group.registries)].flatMap((all) => loginNames(names, all));
  const tokensSecrets = tokensSecretNames({ groups, pullSecret });
  return { basicAuthSecrets: [...new Set(logins)], pullSecret, tokensSecrets };
}

/** The names of the secrets in the helper's own namespace, which the next helper reads. */
export const ownSecretNames = (
  names: ChosenNames & { readonly pushRole: object | undefined },
  logins: Logins,
): string[] => [
  ...(names.pushRole === undefined ? [] : loginNames(names, logins.registries)),
  names.pullSecret,
  ...keptNames(names, logins).tokensSecrets,
];

/** What the names in a namespace come from. */
export interface SecretRules extends ChosenNames {
  readonly secrets: readonly Pick<SecretDefinition, "name" | "namespaces" | "registry">[];
  /** The helper's own namespace. */
  readonly namespace: string;
  readonly registryHost: string | undefined;
}

/** The names of the secrets in a build namespace; undefined for those that any of them may have. */
export function secretNamesIn(rules: SecretRules, logins: Logins, namespace: string | undefined): string[] {
  const { pullSecret, secrets, registryHost } = rules;
  if (namespace === undefined)
    return [...keptNames(rules, logins).basicAuthSecrets, pullSecret, ...secrets.map(({ name }) => name)];
  const { registries } = createGroupOf(logins.groups, rules.namespace)(namespace) ?? logins;
  const hosts = registries.map(({ host }) => host);
  const ownHosts = { ownHost: logins.registries[0]?.host ?? "", registryHost };
  const further = secrets.filter((one) => isIn(one, namespace) && hasRegistryOf(one, hosts, ownHosts));
  return [...loginNames(rules, registries), pullSecret, ...further.map(({ name }) => name)];
}
