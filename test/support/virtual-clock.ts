// A clock that only a test advances, so that hours pass at once and no test depends on the machine's speed.
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../helper/runtime/clock.ts";

interface Timer {
  readonly at: number;
  readonly call: () => void;
}

/** A clock that starts at an ISO 8601 time, and stands still until `advance` is called. */
export class VirtualClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now: number;
  /** By how much somebody has set the time. */
  #set = 0;

  constructor(start: string) {
    this.#now = Date.parse(start);
  }

  /** How many timers are waiting. */
  get pending(): number {
    return this.#timers.size;
  }

  readonly now = (): number => this.#now + this.#set;

  readonly uptime = (): number => this.#now;

  readonly after = (milliseconds: number, call: () => void): (() => void) => {
    if (!(milliseconds >= 0 && Number.isFinite(milliseconds))) throw new Error(`a wait of ${String(milliseconds)} ms`);
    const timer = { at: this.#now + milliseconds, call };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  };

  readonly sleep = async (milliseconds: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const cancel = this.after(milliseconds, resolve);
      const stop = (): void => {
        cancel();
        resolve();
      };
      if (signal.aborted) stop();
      signal.addEventListener("abort", stop);
    });

  /** Sets the time, but not `uptime`, later or earlier by some milliseconds, as somebody may on a machine. */
  set(milliseconds: number): void {
    this.#set += milliseconds;
  }

  /** Advances the clock by some milliseconds, and runs the timers that are due on the way, in order. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      // Lets pending work continue until it waits for the clock again.
      await turn();
      const [next] = [...this.#timers].sort((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next);
      this.#now = next.at;
      next.call();
    }
    this.#now = end;
  }
}
