// Checks the names of the secrets against each other: the region and role of each further login are put after the chosen name.
import { objectName } from "../../helper/shared/names.ts";
import { ownNameMistake } from "../first-pull.ts";
import { staticNamespaces, type NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import { isIn } from "../../helper/shared/secret-definition.ts";
import { keptNames, secretNamesIn, type ChosenNames, type Logins, type SecretRules } from "../secret-names.ts";
import type { ConfigReader } from "./reader.ts";

/** Of the name of an object. */
const maxLength = 253;

/** Collects the mistakes in the names; `app` is that of the stack's own secret. */
export function checkSecretNames(
  config: ConfigReader,
  { basicAuthSecret, pullSecret, app }: ChosenNames & { readonly app: string },
  all: Logins,
): void {
  const { basicAuthSecrets: logins, tokensSecrets: tokens } = keptNames({ basicAuthSecret, pullSecret }, all);
  if (objectName.test(basicAuthSecret) && !logins.every((one) => objectName.test(one))) {
    config.addMistake(
      "basicAuthSecret",
      basicAuthSecret,
      "a shorter name: the region and role of each further login are put after it",
    );
  }
  if (objectName.test(pullSecret) && tokens.some((one) => one.length > maxLength))
    config.addMistake(
      "pullSecret",
      pullSecret,
      "a shorter name: . and the name of each of the groups are put after it",
    );
  if (basicAuthSecret === pullSecret) {
    config.addMistake("pullSecret", pullSecret, "another name than basicAuthSecret's: they are secrets of two types");
  } else if ([pullSecret, ...tokens].some((one) => logins.includes(one))) {
    const isTokens = !logins.includes(pullSecret);
    const why = isTokens
      ? "a login for builds has this one with the name of a group"
      : "a further login for builds has this one";
    config.addMistake("pullSecret", pullSecret, `another name: ${why}`);
  }
  for (const [key, name] of Object.entries({ basicAuthSecret, pullSecret })) {
    const expected = ownNameMistake(name, app);
    if (expected !== undefined) config.addMistake(key, name, expected);
  }
}

/** Where the build namespaces are known, rejects further secrets that none of them gets: their groups lack the registry. */
export function checkSecretNamespaces(config: ConfigReader, rules: NamespaceRules & SecretRules, all: Logins): void {
  const known = staticNamespaces(rules);
  const kept = new Set(known.flatMap((namespace) => secretNamesIn(rules, all, namespace)));
  // Other mistakes have been reported.
  const isNowhere = (one: SecretRules["secrets"][number]): boolean =>
    known.some((namespace) => isIn(one, namespace)) && !kept.has(one.name);
  for (const { name } of all.groups.length === 0 ? [] : rules.secrets.filter(isNowhere)) {
    config.addMistake("secrets", name, "a registry that one of its namespaces logs in to: their groups have others");
  }
}
