// What of the configuration is for a namespace: of its group, or of namespaces in none.
import { createGroupOf, tokensSecretNames } from "../shared/groups.ts";
import { isIn } from "../shared/secret-definition.ts";
import type { HelperConfig } from "./helper-config.ts";

/** Returns a function that gives the configuration for a namespace, which is that of its group if it is in one. */
export function createConfigIn(config: HelperConfig): (namespace: string) => HelperConfig {
  const groupOf = createGroupOf(config.groups, config.namespace);
  return (namespace) => groupOf(namespace)?.config ?? config;
}

/** The configuration for namespaces in no group, and those of the groups. */
export const allConfigs = (config: HelperConfig): readonly HelperConfig[] => [
  config,
  ...config.groups.map((group) => group.config),
];

/** Returns a function that gives the names of the secrets of a build namespace: the same list for all that get the same. */
export function createSecretNames(config: HelperConfig): (namespace: string) => readonly string[] {
  const configIn = createConfigIn(config);
  const lists = new Map<string, readonly string[]>();
  const shared = (names: readonly string[]): readonly string[] => {
    const key = names.join();
    const list = lists.get(key) ?? names;
    lists.set(key, list);
    return list;
  };
  return (namespace) => {
    const { secretNames, furtherSecrets } = configIn(namespace);
    const elsewhere = furtherSecrets.filter((one) => !isIn(one, namespace)).map(({ name }) => name);
    const kept = secretNames.filter((name) => !elsewhere.includes(name));
    return shared(namespace === config.namespace ? [...kept, ...tokensSecretNames(config)] : kept);
  };
}
