// When to run next: pure functions of the token's remaining life, the failures so far and chance. All in milliseconds.
const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

/** No refresh comes sooner than this, whatever a token or a clock says: a mistake must not become a hot loop. */
export const minimumRefresh = 5 * second;
/** ECR's tokens live 12 hours at the most; one that claims more is refreshed as if it lived so long. */
export const maximumRefresh = 6 * hour;
/** A token that has ended on arrival, or does not say when it will, may still work: the clock here may be the wrong one. */
export const distrustedRefresh = minute;
export const maximumRetry = 5 * minute;
const maximumRequest = 20 * second;
/** Of an object in the cluster: one failing namespace costs the API server nothing. */
export const maximumObjectRetry = minute;
/** While the API server is unwell it is tried again so often in any case: nothing is to recover late. */
const minimumServerRetry = 3 * second;
/** What is asked of an API server that is unwell, all together: one request in so many milliseconds. */
const serverRetrySpacing = 20;

/**
 * The delay until the next refresh of a token that lives `remaining` longer: half of it, less up to a tenth by chance so
 * that many helpers do not ask at once. `random` is in [0, 1).
 */
export function refreshDelay(remaining: number, random: number): number {
  if (!(remaining > 0)) return distrustedRefresh;
  const half = (remaining / 2) * (1 - random / 10);
  return Math.min(maximumRefresh, Math.max(minimumRefresh, half));
}

/** The delay before a retry after `failures` failures in a row (1 or more): doubles from a second to `maximum`, half of it by chance. */
export function retryDelay(failures: number, random: number, maximum = maximumRetry): number {
  const full = Math.min(maximum, second * 2 ** (failures - 1));
  return full * (0.5 + random / 2);
}

/**
 * The longest wait between requests for a token to take the place of one that lives `remaining` longer: a quarter of that,
 * and short where it has ended, for then nobody can pull.
 */
export const retryLimit = (remaining: number): number =>
  remaining > 0 ? Math.min(maximumRetry, Math.max(second, remaining / 4)) : 10 * second;

/** How long such a request may take: one that hangs must leave time for another before that token ends. */
export const requestLimit = (remaining: number): number =>
  remaining > 0 ? Math.min(maximumRequest, Math.max(2 * second, remaining / 4)) : maximumRequest;

/**
 * The longest wait for an API server that is unwell, when so many things wait for it: none of them is to blame, and all may
 * be right as soon as it is well again. Up to 150 of them wait 3 seconds, and more of them so long that they are no burden.
 */
export const serverRetryLimit = (waiting: number): number =>
  Math.min(maximumObjectRetry, Math.max(minimumServerRetry, waiting * serverRetrySpacing));

/** Whether the log tells of another failure in a row: what goes on for long is told more and more seldom. */
export const shouldLog = (failures: number): boolean => Number.isInteger(Math.log2(failures));

/** An object that was left alone for so long is not contested any more. */
export const contestMemory = 10 * minute;

/**
 * The delay before an object that others changed is put back, after `repairs` of it in the time of `contestMemory`: none at
 * first, then as after failures, so that two programs that both want the last word do not make each other's work a loop.
 */
export const repairDelay = (repairs: number, random: number): number =>
  repairs === 0 ? 0 : retryDelay(repairs, random);
