// Time, as a dependency, so that tests can pass a virtual clock.
import { setTimeout as delay } from "node:timers/promises";
import { formatSeconds } from "../shared/messages.ts";

/** The current time, and timers. */
export interface Clock {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds since any moment in the past, by a clock that nobody can set. It may stand still while the machine sleeps. */
  readonly uptime: () => number;
  /** Calls `call` after that time, unless the returned function is called first. */
  readonly after: (milliseconds: number, call: () => void) => () => void;
  /** Resolves after that time, or at once when the signal aborts. */
  readonly sleep: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** Node fires a timer of more milliseconds than this at once. */
const maximumTimer = 2 ** 31 - 1;

/** The clock of the machine. */
export const systemClock: Clock = {
  now: Date.now,
  uptime: () => performance.now(),
  after: (milliseconds, call) => {
    const timer = setTimeout(call, Math.min(milliseconds, maximumTimer));
    return () => clearTimeout(timer);
  },
  sleep: async (milliseconds, signal) =>
    delay(Math.min(milliseconds, maximumTimer), undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    }),
};

/**
 * Resolves or rejects as `work` does. Rejects after that time, or when the signal aborts, even if `work` ignores the
 * signal that it is given.
 */
export async function withTimeout<T>(
  milliseconds: number,
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => controller.abort(signal.reason);
  const aborted = new Promise<never>((_, reject) =>
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason as Error)),
  );
  const text = `no answer in ${formatSeconds(milliseconds)}`;
  const cancel = clock.after(milliseconds, () => controller.abort(new Error(text)));
  signal.addEventListener("abort", stop);
  try {
    return await Promise.race([work(controller.signal), aborted]);
  } finally {
    cancel();
    signal.removeEventListener("abort", stop);
  }
}
