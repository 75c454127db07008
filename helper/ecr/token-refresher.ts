// Keeps a live token of every region: asks at half of its life, and again, sooner and sooner less, when it is refused.
import { withTimeout, type Clock } from "../runtime/clock.ts";
import type { AuthorizationToken, TokenSource, Tokens } from "./token.ts";
import type { Log } from "../runtime/logger.ts";
import { firstLine, formatSeconds } from "../shared/messages.ts";
import { isAccessDenied, iamPropagationMs } from "./access-denied.ts";
import { retryAfterOf } from "../runtime/retry-after.ts";
import { refreshDelay, requestLimit, retryDelay, retryLimit } from "../runtime/backoff.ts";

export interface TokenRefresherDependencies {
  readonly tokenSource: TokenSource;
  readonly log: Log;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Called with all tokens there are whenever some are new. */
  readonly refreshed: (tokens: Tokens) => void;
  /** Called after every request. */
  readonly asked: (region: string, result: "success" | "failure") => void;
  /** Called once when a region's requests fail again and again, with what is wrong. */
  readonly failing: (region: string, reason: string) => void;
  /** What to check when AWS refuses, said when it is not for news that IAM has yet to spread. */
  readonly accessDeniedHint: string;
}

interface TokenState {
  readonly name: string;
  due: number;
  /** Whether this identity was ever given a token of it: then it is no news that has yet to spread. */
  everIssued: boolean;
  /** In a row: those that may pass with the spreading of IAM's news, and those that were told as errors. */
  denials: number;
  failures: number;
}

/** After so many errors in a row it is no passing trouble. */
const failureThreshold = 5;
/** While a refusal may pass any moment it is asked again after so many milliseconds at the most. */
const accessDeniedRetry = 10_000;

/** Regions that answer within this time, in milliseconds, are written together; a slower one holds up none of them. */
const batchWindowMs = 500;
/** What is due within so much of the time until then is asked for as well: regions stay together, and are written at once. */
const coalesceFraction = 0.1;

/**
 * Keeps the tokens of these regions, starting with those that an earlier helper left, until the signal aborts. Never
 * rejects. No failure takes a token away: the last good one stays in place.
 */
export async function runTokenRefresher(
  regions: readonly string[],
  left: Tokens,
  effects: TokenRefresherDependencies,
  signal: AbortSignal,
): Promise<void> {
  const { log, clock, random } = effects;
  const tokens = new Map(left);
  const started = clock.now();
  /** One that is said to have been asked for in the future was so by another clock. */
  const dueOf = ({ issuedAt, expiresAt }: AuthorizationToken): number =>
    issuedAt > started ? started : issuedAt + refreshDelay(expiresAt - issuedAt, random());
  const all = regions.map((name): TokenState => {
    const token = tokens.get(name);
    // One that another identity asked for is long since due.
    const everIssued = token !== undefined && token.issuedAt > 0;
    return { name, due: token === undefined ? 0 : dueOf(token), everIssued, denials: 0, failures: 0 };
  });
  /** Whether there are tokens that were not told of. */
  let hasUnpublished = tokens.size > 0;

  /** Of the life of a region's token; NaN where there is none, or it does not say. */
  const remaining = (name: string): number => (tokens.get(name)?.expiresAt ?? Number.NaN) - clock.now();

  const failed = (region: TokenState, error: unknown): void => {
    const { name } = region;
    const refused = isAccessDenied(error);
    const maySpread = refused && !region.everIssued && clock.now() - started < iamPropagationMs;
    const retry = maySpread
      ? retryDelay(++region.denials, random(), accessDeniedRetry)
      : retryDelay(++region.failures, random(), retryLimit(remaining(name)));
    const wait = Math.max(retry, retryAfterOf(error));
    region.due = clock.now() + wait;
    const reason = firstLine(error);
    effects.asked(name, "failure");
    const next = `${tokens.has(name) ? "the last good token stays in place; " : ""}trying again in ${formatSeconds(wait)}`;
    if (maySpread) {
      const why = "rights that were just given take AWS up to two minutes to spread";
      return void log("info", `no authorization token for ${name} yet: ${reason}; ${why}; ${next}`, { region: name });
    }
    const text = `no authorization token for ${name}: ${reason}`;
    log("error", `${text}; ${refused ? `${effects.accessDeniedHint}; ` : ""}${next}`, { region: name });
    if (region.failures === failureThreshold) effects.failing(name, text);
  };

  const ask = async (region: TokenState): Promise<void> => {
    const { name } = region;
    try {
      const limit = requestLimit(remaining(name));
      const token = await withTimeout(limit, clock, signal, async (over) => effects.tokenSource(name, over));
      tokens.set(name, token);
      hasUnpublished = true;
      [region.everIssued, region.denials, region.failures] = [true, 0, 0];
      region.due = clock.now() + refreshDelay(token.expiresAt - clock.now(), random());
      effects.asked(name, "success");
    } catch (error) {
      if (!signal.aborted) failed(region, error);
    }
  };

  /** Asks them all at once, and tells of those that answer. */
  const refreshBatch = async (asked: readonly TokenState[]): Promise<void> => {
    let cancel: (() => void) | undefined;
    const tell = (): void => {
      cancel?.();
      cancel = undefined;
      if (hasUnpublished && !signal.aborted) effects.refreshed(new Map(tokens));
      hasUnpublished = false;
    };
    const gather = (): void => {
      if (hasUnpublished) cancel ??= clock.after(batchWindowMs, tell);
    };
    gather();
    await Promise.all(asked.map(async (region) => ask(region).then(gather)));
    tell();
  };

  while (!signal.aborted) {
    const now = clock.now();
    const isDue = ({ name, due, failures, denials }: TokenState): boolean => {
      const slack = failures + denials === 0 ? coalesceFraction * (due - (tokens.get(name)?.issuedAt ?? due)) : 0;
      return due - slack <= now;
    };
    const isAnyDue = all.some(({ due }) => due <= now);
    if (isAnyDue || hasUnpublished) await refreshBatch(isAnyDue ? all.filter(isDue) : []);
    await clock.sleep(Math.max(0, Math.min(...all.map(({ due }) => due)) - clock.now()), signal);
  }
}
