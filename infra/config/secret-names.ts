// Checks the names of the secrets against each other: the region and role of each further login are put after the chosen name.
import { objectName } from "../../helper/shared/names.ts";
import { ownNameMistake } from "../first-pull.ts";
import { keptNames, type ChosenNames, type Logins } from "../secret-names.ts";
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
