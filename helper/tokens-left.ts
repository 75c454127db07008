// The tokens that one helper leaves to the next: in the pull secret of its own namespace, with their times beside them.
import type { Clock } from "./clock.ts";
import type { HelperConfig } from "./config.ts";
import type { Secret, Tokens } from "./desired.ts";
import { annotations, isOwn } from "./ownership.ts";
import { orUndefined, type Kube } from "./kube.ts";
import type { MetadataOnly } from "./observed.ts";
import { inSeconds, reasonOf, type Log } from "./log.ts";
import { fieldsIn, isText, parseFields } from "./shape.ts";
import { isWorthALine, retryDelay, serverRetryLimit } from "./schedule.ts";
import { parseLogin, type AuthorizationToken } from "./token.ts";

/** What the annotation of a pull secret says of the tokens in it. */
export const describeTokens = (config: HelperConfig, tokens: Tokens): string =>
  JSON.stringify({
    identity: config.fingerprint,
    regions: Object.fromEntries(
      [...tokens].map(([region, { issuedAt, expiresAt }]) => [region, { issuedAt, expiresAt }]),
    ),
  });

/**
 * The tokens in a pull secret that a helper of this stack made. Those that another identity asked for are given as long
 * since due: they may end with it. None where the secret holds anything else.
 */
export function tokensOf(
  config: HelperConfig,
  secret: Pick<Secret, "metadata" | "data">,
): Map<string, AuthorizationToken> {
  const tokens = new Map<string, AuthorizationToken>();
  if (!isOwn(config, secret.metadata.labels)) return tokens;
  const times = timesIn(config, secret);
  const { [dockerConfig]: encoded } = fieldsIn(secret.data);
  const { auths } = parseFields(isText(encoded) ? Buffer.from(encoded, "base64").toString() : "");
  for (const { host, region } of config.registries) {
    const { auth } = fieldsIn(fieldsIn(auths)[host]);
    const [found, login] = [times.get(region), isText(auth) ? parseLogin(auth) : undefined];
    if (found !== undefined && login !== undefined) tokens.set(region, { ...login, ...found });
  }
  return tokens;
}

const dockerConfig = ".dockerconfigjson";

type Times = Pick<AuthorizationToken, "issuedAt" | "expiresAt">;

function timesIn(config: HelperConfig, { metadata }: Pick<Secret, "metadata">): Map<string, Times> {
  const { identity, regions } = parseFields(metadata.annotations?.[annotations.tokens]);
  const times = Object.entries(fieldsIn(regions)).flatMap(([region, value]): [string, Times][] => {
    const { issuedAt, expiresAt } = fieldsIn(value);
    if (!isMoment(issuedAt) || !(isMoment(expiresAt) || expiresAt === null)) return [];
    return [[region, { issuedAt: identity === config.fingerprint ? issuedAt : 0, expiresAt: expiresAt ?? Number.NaN }]];
  });
  return new Map(times);
}

/** Whether a value is a time in milliseconds since 1970, as `Date` knows them. */
const isMoment = (value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value <= 8_640_000_000_000_000;

interface LookEffects {
  /** Whether a secret is as the helper wrote it: else it may hold anybody's tokens. */
  readonly isIntact: (secret: Secret & MetadataOnly) => boolean;
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
  { isIntact, log, clock, random }: LookEffects,
  signal: AbortSignal,
): Promise<Tokens> {
  const path = `/api/v1/namespaces/${config.namespace}/secrets/${config.pullSecret}`;
  const isOver = (): boolean => signal.aborted;
  for (let failures = 1; !isOver(); failures++) {
    try {
      const found = await orUndefined(kube<Secret & MetadataOnly>({ method: "GET", path, signal }));
      if (found === undefined) return new Map();
      if (isIntact(found)) return tokensOf(config, found);
      log("warn", `secret ${config.namespace}/${config.pullSecret} was changed by somebody: its tokens are not used`);
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
