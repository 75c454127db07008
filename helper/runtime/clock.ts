// Time as the helper's parts see it, so that a test can pass them another.
import { setTimeout as delay } from "node:timers/promises";

export interface Clock {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Calls back after so many milliseconds, unless the returned function was called before. */
  readonly after: (milliseconds: number, call: () => void) => () => void;
  /** Resolves after so many milliseconds, or at once when the signal aborts. */
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** A timer of Node's that is to wait longer than this, in milliseconds, does not wait at all. */
const maximumTimer = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: Date.now,
  after: (milliseconds, call) => {
    const timer = setTimeout(call, Math.min(milliseconds, maximumTimer));
    return () => clearTimeout(timer);
  },
  sleep: async (milliseconds, signal) =>
    delay(Math.min(milliseconds, maximumTimer), undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    }),
};

/** Gives what some work gives. Rejects when that takes so many milliseconds or the signal aborts, whatever the work does then. */
export async function withTimeout<T>(
  milliseconds: number,
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const stop = (): void => over.abort(signal.reason);
  const ended = new Promise<never>((_, reject) =>
    over.signal.addEventListener("abort", () => reject(over.signal.reason as Error)),
  );
  const text = `no answer in ${(milliseconds / 1000).toFixed(1)} s`;
  const cancel = clock.after(milliseconds, () => over.abort(new Error(text)));
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([work(over.signal), ended]);
  } finally {
    cancel();
    signal.removeEventListener("abort", stop);
  }
}
