// How long to wait before a retry: pure functions of the failures so far and chance. In milliseconds.
const second = 1_000;
const minute = 60 * second;

/** The longest wait before a retry, unless the caller has a shorter one. */
export const maximumRetry = 5 * minute;
/** The longest wait before an object in the cluster is tried again: a failing namespace costs the API server little. */
export const maximumObjectRetry = minute;
/** An API server that is unavailable is tried at least this often, so that the helper recovers soon after it. */
const minimumServerRetry = 3 * second;
/** An API server that is unavailable gets one request in this time, from everything that waits for it together. */
const serverRetrySpacing = 20;

/**
 * The delay before a retry after `failures` failures in a row (1 or more): doubles from a second up to `maximum`, half of it
 * at random. `random` is in [0, 1).
 */
export function retryDelay(failures: number, random: number, maximum = maximumRetry): number {
  const full = Math.min(maximum, second * 2 ** (failures - 1));
  return full * (0.5 + random / 2);
}

/**
 * The longest wait for an API server that is unavailable, where `waiting` objects or collections wait for it: they all may
 * succeed as soon as it is back. Up to 150 of them wait 3 seconds; more of them wait longer, so as not to overload it.
 */
export const serverRetryLimit = (waiting: number): number =>
  Math.min(maximumObjectRetry, Math.max(minimumServerRetry, waiting * serverRetrySpacing));

/** Whether to log a failure, given how many there were in a row: the first, second, fourth, eighth and so on. */
export const shouldLog = (failures: number): boolean => Number.isInteger(Math.log2(failures));

/** An object that nobody else changed for this long is no longer contested. */
export const contestMemory = 10 * minute;

/**
 * The delay before an outside edit is reverted, after `repairs` earlier ones within `contestMemory`: none at first, then as
 * after failures, so that two programs that both want the last word do not write in a loop.
 */
export const repairDelay = (repairs: number, random: number): number =>
  repairs === 0 ? 0 : retryDelay(repairs, random);
