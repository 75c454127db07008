// The annotation with the times of a secret's tokens, and the tokens decoded from a secret that has it.
import type { HelperConfig } from "../config/helper-config.ts";
import { pushTokenName } from "../config/token-requests.ts";
import { parseLogin, type AuthorizationToken, type Tokens } from "../ecr/token.ts";
import { asRecord, isString, parseRecord } from "../runtime/shape.ts";
import { dockerConfigKey } from "../shared/docker-config.ts";
import { groupTokensSecret } from "../shared/groups.ts";
import { annotations, isOwn } from "../shared/ownership.ts";
import type { Secret } from "./types.ts";

/**
 * The value of the annotation, as JSON. `identity` is the fingerprint of the AWS identity to which the tokens were issued; a token
 * that was issued to a registry's role has another one.
 */
export const encodeTokenAnnotation = ({ tokenRequests }: HelperConfig, identity: string, tokens: Tokens): string =>
  JSON.stringify({
    identity: commonIdentity(tokenRequests, identity),
    // The key is that of earlier versions, which know regions only: one of them may be the next helper.
    regions: Object.fromEntries(
      [...tokens].map(([name, { issuedAt, expiresAt }]) => {
        const { fingerprint: own = identity, hosts: [host] = [] } = tokenRequests.get(name) ?? {};
        const isCommon = own === commonIdentity(tokenRequests, identity);
        // The next helper finds the token by this host: by others, which may get or lose a role, it would find another one.
        return [name, { issuedAt, expiresAt, host, ...(isCommon ? {} : { identity: own }) }];
      }),
    ),
  });

/** Earlier versions take all tokens of a region for one. Where there are roles, no identity has them ask anew. */
const commonIdentity = (requests: HelperConfig["tokenRequests"], identity: string): string =>
  [...requests.values()].some(({ role, login }) => role !== undefined && login === "pull") ? "" : identity;

/**
 * The tokens in a secret that a helper of this stack wrote, by name; none if someone else did or the content is invalid. A token that
 * was issued to another identity gets `issuedAt` 0, so that it is refreshed at once: it may be revoked with that identity.
 */
export function decodeTokens(
  config: HelperConfig,
  secret: Pick<Secret, "metadata" | "data">,
): Map<string, AuthorizationToken> {
  const { name: secretName } = secret.metadata;
  const group = config.groups.find((one) => groupTokensSecret(config.pullSecret, one) === secretName);
  if (group !== undefined) return decodeTokens({ ...group.config, pullSecret: secretName }, secret);
  const tokens = new Map<string, AuthorizationToken>();
  if (!isOwn(config, secret.metadata.labels)) return tokens;
  const isPull = secretName === config.pullSecret;
  const times = timesIn(config, secret);
  for (const [name, login] of isPull ? pullLogins(config, secret, times) : pushLogin(config, secret)) {
    const found = times.get(name);
    if (found === undefined || login === undefined) continue;
    const { issuedAt, expiresAt } = found;
    tokens.set(name, { ...login, issuedAt, expiresAt });
  }
  return tokens;
}

type Login = Pick<AuthorizationToken, "username" | "password">;
type Content = Pick<Secret, "metadata" | "data">;

const decoded = (value: unknown): string => (isString(value) ? Buffer.from(value, "base64").toString() : "");

function pullLogins(
  { allTokenRequests }: HelperConfig,
  { data }: Content,
  times: ReadonlyMap<string, Times>,
): [string, Login | undefined][] {
  const { auths } = parseRecord(decoded(asRecord(data)[dockerConfigKey]));
  // A registry may have been in another group, or in none.
  return [...allTokenRequests].flatMap(([name, { hosts, login }]): [string, Login | undefined][] => {
    const noted = times.get(name)?.host;
    // Earlier versions note no host. One that was added since has no entry yet.
    const entries = (noted === undefined ? hosts : [noted])
      .map((host) => asRecord(asRecord(auths)[host])["auth"])
      .filter(isString);
    return login === "pull" ? entries.map((auth) => [name, parseLogin(auth)]) : [];
  });
}

/** The login in the basic-auth secret of one region. */
function pushLogin({ basicAuthSecrets }: HelperConfig, { metadata, data }: Content): [string, Login | undefined][] {
  const fields = asRecord(data);
  const [username, password] = [decoded(fields["username"]), decoded(fields["password"])];
  const login = username === "" || password === "" ? undefined : { username, password };
  return [...basicAuthSecrets].flatMap(([region, name]): [string, Login | undefined][] =>
    name === metadata.name ? [[pushTokenName(region), login]] : [],
  );
}

interface Times extends Pick<AuthorizationToken, "issuedAt" | "expiresAt"> {
  /** A host whose login the token is; undefined where an earlier version has noted none. */
  readonly host: string | undefined;
}

function timesIn({ allTokenRequests }: HelperConfig, { metadata }: Content): Map<string, Times> {
  const { identity, regions } = parseRecord(metadata.annotations?.[annotations.tokens]);
  const times = Object.entries(asRecord(regions)).flatMap(([name, value]): [string, Times][] => {
    const { issuedAt, expiresAt, identity: own = identity, host } = asRecord(value);
    if (!isTime(issuedAt) || !(isTime(expiresAt) || expiresAt === null)) return [];
    const isSame = own === allTokenRequests.get(name)?.fingerprint;
    const found = { issuedAt: isSame ? issuedAt : 0, expiresAt: expiresAt ?? Number.NaN };
    return [[name, { ...found, host: isString(host) ? host : undefined }]];
  });
  return new Map(times);
}

/** Whether a value is a time in milliseconds since 1970, as `Date` knows them. */
const isTime = (value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value <= 8_640_000_000_000_000;
