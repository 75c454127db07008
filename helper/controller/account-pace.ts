// How fast the helper works on service accounts that the configuration does not name. Whoever owns a namespace can make and delete any
// number of them: that must neither keep the helper from anything else, nor fill its log.
import type { Clock } from "../runtime/clock.ts";

/** After so long, in milliseconds, a namespace lets all others go first, for a while. */
const maxTurn = 2_000;
const betweenTurns = 100;
/** A namespace may have so many written at once, and then one in each of these times, in milliseconds. */
const burst = 1_000;
const spacing = 100;

/** Counts by namespace. */
export class AccountPace {
  readonly #clock: Clock;
  /** When what was written would have been written at one each `spacing`, by `uptime`. */
  readonly #paidUntil = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * How long the next write in a namespace has to wait, in milliseconds; 0 where it may be done, which counts it. `since` is when the
   * helper began to work on the namespace.
   */
  next(namespace: string, since: number): number {
    const now = this.#clock.uptime();
    if (this.isTurnOver(since)) return betweenTurns;
    const until = Math.max(now, this.#paidUntil.get(namespace) ?? now) + spacing;
    const wait = until - now - burst * spacing;
    if (wait > 0) return wait;
    this.#paidUntil.set(namespace, until);
    return 0;
  }

  /** Whether a namespace lets all others go first, where the helper began to work on it then. */
  isTurnOver(since: number): boolean {
    return this.#clock.uptime() - since > maxTurn;
  }

  /** Forgets a namespace that no longer exists. */
  forget(namespace: string): void {
    this.#paidUntil.delete(namespace);
  }
}
