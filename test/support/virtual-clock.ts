// A clock that stands still until a test moves it, so that hours pass in no time and nothing depends on the machine.
import { setImmediate as turn } from "node:timers/promises";
import type { Clock } from "../../helper/runtime/clock.ts";

interface Timer {
  readonly at: number;
  readonly call: () => void;
}

export class VirtualClock implements Clock {
  readonly #timers = new Set<Timer>();
  #now: number;

  constructor(start: string) {
    this.#now = Date.parse(start);
  }

  readonly now = (): number => this.#now;

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

  /** Lets so many milliseconds pass, with everything that happens in them. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      // What was begun goes on until it waits for the clock again.
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
