// The tokens that one helper leaves to the next: in the pull secret of its own namespace, with their times beside them.
import type { Clock } from "./clock.ts";
import type { HelperConfig } from "./config.ts";
import type { Secret, Tokens } from "./desired.ts";
import { annotations, isOwn } from "./ownership.ts";
import { orUndefined, type Kube } from "./kube.ts";
import type { MetadataOnly } from "./observed.ts";
import { inSeconds, reasonOf, type Log } from "./log.ts";
import { isWorthALine, retryDelay, serverRetryLimit } from "./schedule.ts";
import { parseLogin, type AuthorizationToken } from "./token.ts";

/** Times of one region's token, in milliseconds since 1970; `expiresAt` is null when ECR did not say. */
interface TokenTimes {
  issuedAt: number;
  expiresAt: number | null;
}

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
  const { auths = {} } = parse<{ auths: Record<string, { auth?: string }> }>(
    Buffer.from(secret.data[".dockerconfigjson"] ?? "", "base64").toString(),
  );
  for (const { host, region } of config.registries) {
    const [found, login] = [times.get(region), parseLogin(auths[host]?.auth ?? "")];
    if (found !== undefined && login !== undefined) tokens.set(region, { ...login, ...found });
  }
  return tokens;
}

function timesIn(
  config: HelperConfig,
  { metadata }: Pick<Secret, "metadata">,
): Map<string, Pick<AuthorizationToken, "issuedAt" | "expiresAt">> {
  const { identity, regions = {} } = parse<{ identity: string; regions: Record<string, TokenTimes> }>(
    metadata.annotations?.[annotations.tokens],
  );
  const isSame = identity === config.fingerprint;
  return new Map(
    Object.entries(regions).map(([region, { issuedAt, expiresAt }]) => [
      region,
      { issuedAt: isSame ? issuedAt : 0, expiresAt: expiresAt ?? Number.NaN },
    ]),
  );
}

function parse<T>(text = ""): Partial<T> {
  try {
    return JSON.parse(text) as Partial<T>;
  } catch {
    return {}; // Not what the helper writes: there is nothing in it to go on from.
  }
}

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
