// When to request the next token, and how long that may take: pure functions of a token's remaining life. In milliseconds.
import { maximumRetry } from "../runtime/backoff.ts";

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

/** No refresh comes sooner, whatever a token or a clock says, so that a wrong expiry does not make a hot loop. */
export const minimumRefresh = 5 * second;
/** ECR's tokens live 12 hours at most; one that claims more is refreshed as if it lived that long. */
export const maximumRefresh = 6 * hour;
/** For a token that arrives expired or without an expiry: it may still be valid, as the clock here may be wrong. */
export const implausibleExpiryRefresh = minute;

/** No request for a token takes longer. */
const maximumRequest = 20 * second;

/**
 * The delay until the refresh of a token that lives `remaining` longer: half of that, less up to a tenth at random, so that
 * many helpers do not request at once. `random` is in [0, 1).
 */
export function refreshDelay(remaining: number, random: number): number {
  if (!(remaining > 0)) return implausibleExpiryRefresh;
  const half = (remaining / 2) * (1 - random / 10);
  return Math.min(maximumRefresh, Math.max(minimumRefresh, half));
}

/**
 * The longest wait between requests for the successor of a token that lives `remaining` longer: a quarter of that, and ten
 * seconds once it has expired, as nobody can pull then.
 */
export const maximumRetryDelay = (remaining: number): number =>
  remaining > 0 ? Math.min(maximumRetry, Math.max(second, remaining / 4)) : 10 * second;

/** The timeout of such a request: one that hangs must leave time for another before the token expires. */
export const requestTimeout = (remaining: number): number =>
  remaining > 0 ? Math.min(maximumRequest, Math.max(2 * second, remaining / 4)) : maximumRequest;

/** The longest wait, in milliseconds, before the next request while IAM may still propagate permissions. */
export const propagationRetry = 10_000;
/** Tokens that arrive within this time, in milliseconds, are published together; a slower one does not delay them. */
export const batchWindowMs = 500;
/** A token is requested with another one that is due, by up to this fraction of its own waiting time early. */
export const coalesceFraction = 0.1;
