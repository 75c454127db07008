// The further secrets of a stack, made from their definitions and the tokens.
import type { HelperConfig } from "../config/helper-config.ts";
import type { AuthorizationToken, Tokens } from "../ecr/token.ts";
import { encodeAuth } from "../shared/docker-config.ts";
import { parseRegistryHost } from "../shared/names.ts";
import { ownMetadata } from "../shared/ownership.ts";
import type { SecretDefinition } from "../shared/secret-definition.ts";
import { expandTemplate, usesAny, type Placeholder } from "../shared/secret-template.ts";
import { base64, dockerConfigOf, timeAnnotations, tokensOf } from "./secret-parts.ts";
import type { Secret } from "./types.ts";

/** Where a secret logs in. */
type Place = Record<"host" | "url" | "region" | "account", string>;

/** Another host of the stack's own registry may say neither its account nor its region: those are of the first registry. */
function placeOf({ registries, registryHost }: HelperConfig, registry: string): Place {
  const own = registries[0]?.host ?? "";
  const host = registry === "" ? (registryHost ?? own) : registry;
  const { region = "", accountId = "" } = parseRegistryHost(host === registryHost ? own : host) ?? {};
  return { host, url: `https://${host}`, region, account: accountId };
}

/**
 * A further secret, without its owners; undefined where a token that it needs is missing. With the docker config alone it needs any,
 * as the pull secret does.
 */
export function furtherSecret(config: HelperConfig, definition: SecretDefinition, tokens: Tokens): Secret | undefined {
  const [logins, place] = [tokensOf(config, definition.login, tokens), placeOf(config, definition.registry)];
  const templates = Object.values(definition.data);
  const uses = (...some: Placeholder[]): boolean => templates.some((one) => usesAny(one, some));
  const [one, usesLogin, usesAll] = [
    logins.get(place.region),
    uses("username", "password", "auth"),
    uses("dockerconfig"),
  ];
  const used: AuthorizationToken[] = usesAll || one === undefined ? [...logins.values()] : [one];
  if (used.length === 0 || (usesLogin && one === undefined)) return undefined;
  const { username = "", password = "" } = one ?? {};
  const values = {
    ...place,
    username,
    password,
    auth: encodeAuth(username, password),
    dockerconfig: usesAll ? dockerConfigOf(config, logins) : "",
  };
  const expanded = (some: Readonly<Record<string, string>>): [string, string][] =>
    Object.entries(some).map(([key, template]) => [key, expandTemplate(template, values)]);
  const metadata = ownMetadata(config, definition.name);
  metadata.labels = { ...definition.labels, ...metadata.labels };
  metadata.annotations = { ...Object.fromEntries(expanded(definition.annotations)), ...timeAnnotations(used) };
  const data = Object.fromEntries(expanded(definition.data).map(([key, value]) => [key, base64(value)]));
  return { metadata, apiVersion: "v1", kind: "Secret", type: definition.type, data };
}
