// The further secrets of a stack, made from their definitions and the tokens.
import type { HelperConfig } from "../config/helper-config.ts";
import { registryLogin, type Registry } from "../config/token-requests.ts";
import type { AuthorizationToken, Tokens } from "../ecr/token.ts";
import { encodeAuth } from "../shared/docker-config.ts";
import { parseRegistryHost } from "../shared/names.ts";
import { pullTokenName } from "../shared/registry-logins.ts";
import { ownMetadata } from "../shared/ownership.ts";
import type { SecretDefinition } from "../shared/secret-definition.ts";
import { expandTemplate, usesAny, type Placeholder } from "../shared/secret-template.ts";
import { base64, dockerConfigOf, timeAnnotations, tokensOf } from "./secret-parts.ts";
import type { Secret } from "./types.ts";

/** Where a secret logs in. */
type Place = Record<"host" | "url" | "region" | "account", string>;
type Login = Record<Exclude<Placeholder, keyof Place>, string>;

/** The registry that a secret logs in to; undefined where the configuration has none of that host. */
function registryOf({ registries, registryHost }: HelperConfig, host: string): Registry | undefined {
  return ["", registryHost].includes(host) ? registries[0] : registries.find((one) => one.host === host);
}

/** What the placeholders say of a registry. Another host of the stack's own may say neither its account nor its region. */
function placeOf({ registryHost }: HelperConfig, named: string, { host: usual, region }: Registry): Place {
  const host = named === "" ? (registryHost ?? usual) : named;
  return { host, url: `https://${host}`, region, account: parseRegistryHost(usual)?.accountId ?? "" };
}

/** The token with which a registry is logged in to, of those for pulls or of those for builds. */
const tokenOf = (registry: Registry, logins: Tokens): AuthorizationToken | undefined =>
  logins.get(pullTokenName(registryLogin(registry)) ?? "");

/** The values of the placeholders that tell a login, and the tokens that these are of; undefined where one that is needed is missing. */
function loginOf(
  config: HelperConfig,
  { data, login }: SecretDefinition,
  registry: Registry,
  tokens: Tokens,
): { readonly values: Login; readonly used: readonly AuthorizationToken[] } | undefined {
  const logins = tokensOf(config, login, tokens);
  const token = tokenOf(registry, logins);
  const uses = (...some: Placeholder[]): boolean => Object.values(data).some((one) => usesAny(one, some));
  const usesAll = uses("dockerconfig");
  const used = usesAll || token === undefined ? [...logins.values()] : [token];
  if (used.length === 0 || (token === undefined && uses("username", "password", "auth"))) return undefined;
  const { username, password } = token ?? { username: "", password: "" };
  const dockerconfig = usesAll ? dockerConfigOf(config, logins) : "";
  return { values: { username, password, auth: encodeAuth(username, password), dockerconfig }, used };
}

/**
 * A further secret, without its owners; undefined where a token that it needs is missing. With the docker config alone it needs any,
 * as the pull secret does.
 */
export function furtherSecret(config: HelperConfig, definition: SecretDefinition, tokens: Tokens): Secret | undefined {
  const registry = registryOf(config, definition.registry);
  const login = registry && loginOf(config, definition, registry, tokens);
  if (registry === undefined || login === undefined) return undefined;
  const values = { ...placeOf(config, definition.registry, registry), ...login.values };
  const expanded = (some: Readonly<Record<string, string>>): [string, string][] =>
    Object.entries(some).map(([key, template]) => [key, expandTemplate(template, values)]);
  const metadata = ownMetadata(config, definition.name);
  metadata.labels = { ...definition.labels, ...metadata.labels };
  metadata.annotations = { ...Object.fromEntries(expanded(definition.annotations)), ...timeAnnotations(login.used) };
  const data = Object.fromEntries(expanded(definition.data).map(([key, value]) => [key, base64(value)]));
  return { metadata, apiVersion: "v1", kind: "Secret", type: definition.type, data };
}
