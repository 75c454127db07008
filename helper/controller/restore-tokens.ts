// The tokens that one helper leaves to the next: in the secrets of its own namespace, with their times beside them.
import type { Clock } from "../runtime/clock.ts";
import { pushTokenName, type HelperConfig } from "../config/helper-config.ts";
import type { Secret, Tokens } from "../resources/secrets.ts";
import { annotations, isOwn } from "../resources/ownership.ts";
import { orUndefined, type Kube } from "../kube/client.ts";
import type { MetadataOnly } from "../cache/cluster-cache.ts";
import { inSeconds, reasonOf, type Log } from "../runtime/logger.ts";
import { fieldsIn, isText, parseFields } from "../runtime/shape.ts";
import { isWorthALine, retryDelay, serverRetryLimit } from "../runtime/backoff.ts";
import { parseLogin, type AuthorizationToken } from "../ecr/token.ts";

/** What the annotation of a secret says of the tokens in it, which the identity of the fingerprint asked for. */
export const describeTokens = (identity: string, tokens: Tokens): string =>
  JSON.stringify({
    identity,
    // As earlier helpers have it, which may be the next ones: then these are regions alone.
    regions: Object.fromEntries([...tokens].map(([name, { issuedAt, expiresAt }]) => [name, { issuedAt, expiresAt }])),
  });

/**
 * The tokens in a secret that a helper of this stack made. Those that another identity asked for are given as long since
 * due: they may end with it. None where the secret holds anything else.
 */
export function tokensOf(
  config: HelperConfig,
  secret: Pick<Secret, "metadata" | "data">,
): Map<string, AuthorizationToken> {
  const tokens = new Map<string, AuthorizationToken>();
  if (!isOwn(config, secret.metadata.labels)) return tokens;
  const isPull = secret.metadata.name === config.pullSecret;
  const times = timesIn(secret, isPull ? config.fingerprint : config.pushFingerprint);
  for (const [name, login] of isPull ? pullLogins(config, secret) : pushLogin(config, secret)) {
    const found = times.get(name);
    if (found !== undefined && login !== undefined) tokens.set(name, { ...login, ...found });
  }
  return tokens;
}

type Login = Pick<AuthorizationToken, "username" | "password">;
type Content = Pick<Secret, "metadata" | "data">;

const decoded = (value: unknown): string => (isText(value) ? Buffer.from(value, "base64").toString() : "");

function pullLogins({ registries }: HelperConfig, { data }: Content): [string, Login | undefined][] {
  const { auths } = parseFields(decoded(fieldsIn(data)[".dockerconfigjson"]));
  return registries.map(({ host, region }) => {
    const { auth } = fieldsIn(fieldsIn(auths)[host]);
    return [region, isText(auth) ? parseLogin(auth) : undefined];
  });
}

/** Of the secret of one region. */
function pushLogin({ basicAuthSecrets }: HelperConfig, { metadata, data }: Content): [string, Login | undefined][] {
  const fields = fieldsIn(data);
  const [username, password] = [decoded(fields["username"]), decoded(fields["password"])];
  const login = username === "" || password === "" ? undefined : { username, password };
  return [...basicAuthSecrets].flatMap(([region, name]): [string, Login | undefined][] =>
    name === metadata.name ? [[pushTokenName(region), login]] : [],
  );
}

type Times = Pick<AuthorizationToken, "issuedAt" | "expiresAt">;

function timesIn({ metadata }: Content, fingerprint: string): Map<string, Times> {
  const { identity, regions } = parseFields(metadata.annotations?.[annotations.tokens]);
  const times = Object.entries(fieldsIn(regions)).flatMap(([name, value]): [string, Times][] => {
    const { issuedAt, expiresAt } = fieldsIn(value);
    if (!isMoment(issuedAt) || !(isMoment(expiresAt) || expiresAt === null)) return [];
    return [[name, { issuedAt: identity === fingerprint ? issuedAt : 0, expiresAt: expiresAt ?? Number.NaN }]];
  });
  return new Map(times);
}

/** Whether a value is a time in milliseconds since 1970, as `Date` knows them. */
const isMoment = (value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value <= 8_640_000_000_000_000;

interface LookEffects {
  /** Whether a secret is as the helper wrote it: else it may hold anybody's tokens. */
  readonly isIntact: (name: string, secret: MetadataOnly) => boolean;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * The tokens that an earlier helper left in its own namespace. Asks until there is an answer: while the API server gives
 * none nothing could be written either, and without them a registry that is refused now would lose a login that works.
 */
export async function readTokensLeft(
  config: HelperConfig,
  kube: Kube,
  effects: LookEffects,
  signal: AbortSignal,
): Promise<Tokens> {
  const left = new Map<string, AuthorizationToken>();
  for (const name of config.ownSecretNames) {
    for (const [token, value] of await readFrom(name, config, kube, effects, signal)) left.set(token, value);
  }
  return left;
}

async function readFrom(
  name: string,
  config: HelperConfig,
  kube: Kube,
  { isIntact, log, clock, random }: LookEffects,
  signal: AbortSignal,
): Promise<Tokens> {
  const path = `/api/v1/namespaces/${config.namespace}/secrets/${name}`;
  const isOver = (): boolean => signal.aborted;
  for (let failures = 1; !isOver(); failures++) {
    try {
      const found = await orUndefined(kube<Secret & MetadataOnly>({ method: "GET", path, signal }));
      if (found === undefined) return new Map();
      if (isIntact(name, found)) return tokensOf(config, found);
      log("warn", `secret ${config.namespace}/${name} was changed by somebody: its tokens are not used`);
      return new Map();
    } catch (error) {
      if (isOver()) break;
      const wait = retryDelay(failures, random(), serverRetryLimit(1));
      const level = isWorthALine(failures) ? "error" : "debug";
      log(level, `cannot look for the last helper's tokens: ${reasonOf(error)}; trying again in ${inSeconds(wait)}`);
      await clock.sleep(wait, signal);
    }
  }
  return new Map();
}
