// Decides by a Lease which of the stack's helpers works. The others stand by.
import type { HelperConfig } from "../config/helper-config.ts";
import { shouldLog } from "../runtime/backoff.ts";
import { errorMessage } from "../shared/messages.ts";
import { takenLease } from "./handover.ts";
import { LeaseClient, type ElectionDependencies } from "./lease-client.ts";
import { leaseTimes, microTime, releaseTimeout, unknownHolder, type LeaseRecord } from "./lease.ts";
import { Term, type Moment } from "./term.ts";

/** How a helper competes, asked at each step. */
export interface Candidacy {
  /** Whether it could work at once. One that could not leaves a free Lease to others for a while. */
  readonly isPrepared: () => boolean;
  /** Whether it asks the holder for the Lease. */
  readonly asks: () => boolean;
  /** Called at each step at which another helper holds the Lease, or may. */
  readonly standsBy: () => void;
}

/**
 * How much longer than others, in milliseconds, a helper waits for a Lease that somebody has held if it is not prepared, or of
 * another pod template than the last holder: in a rollout the last template's identity may be gone.
 */
const secondChoiceDelay = 5_000;

/**
 * A pod that was handed the Lease, and lost it, gets it again after this time only, in milliseconds: one that ends over and over
 * would leave everybody without a helper for as long as the Lease is valid, each time.
 */
const secondGrantDelay = 300_000;

/** How long a pod waits before it asks again, in milliseconds. The holder drops one that it does not hand the Lease over to. */
const secondAskDelay = 10_000;

/** Who holds the Lease, seen from one helper. */
export class Elector {
  readonly #config: HelperConfig;
  readonly #dependencies: ElectionDependencies;
  readonly #lease: LeaseClient;
  #term: Term | undefined;
  /** The other pod that held it last, until this one has taken it. */
  #lastOther = "";
  /** When this pod last asked for it, by `uptime`. */
  #askedAt = -Infinity;
  /** Failed attempts in a row. */
  #failures = 0;
  /** When the Lease was last handed over to a pod, by `uptime`. */
  readonly #grants = new Map<string, number>();

  constructor(config: HelperConfig, dependencies: ElectionDependencies) {
    [this.#config, this.#dependencies] = [config, dependencies];
    this.#lease = new LeaseClient(config, dependencies);
    this.#lease.onChange(() => this.#observe());
  }

  /** Whether this helper holds the Lease, so that it may write. */
  isLeading(): boolean {
    return this.#term?.isValid() === true;
  }

  /** The holder, its pod template and who has to clean up; undefined while that is not known, or nobody holds it. */
  get holder(): Pick<LeaseRecord, "holder" | "template" | "cleaner"> | undefined {
    const { record } = this.#lease;
    return record === undefined || record.holder === "" ? undefined : record;
  }

  /** How long ago this helper handed the Lease over to one that asked for it, in milliseconds; Infinity if it has not. */
  sinceHandOver(): number {
    return this.#dependencies.clock.uptime() - Math.max(-Infinity, ...this.#grants.values());
  }

  /** Follows the Lease until the signal aborts. Never rejects. */
  async follow(signal: AbortSignal): Promise<void> {
    await this.#lease.follow(signal);
  }

  /** Call when the candidacy may have changed. */
  notify(): void {
    this.#lease.notify();
  }

  /** Resolves to a term once the Lease is acquired; to undefined when the signal aborts first. Never rejects. */
  async acquire(candidacy: Candidacy, signal: AbortSignal): Promise<Term | undefined> {
    // A request may be served although nobody waits for its answer: it is given some time, and what it did is undone.
    const late = new AbortController();
    const stop = (): void =>
      AbortSignal.timeout(releaseTimeout).addEventListener("abort", () => late.abort(signal.reason));
    signal.addEventListener("abort", stop);
    try {
      while (!signal.aborted) {
        const term = await this.#step(candidacy, signal, late.signal);
        if (term !== undefined) return (this.#term = term);
      }
      await this.#withdraw(late.signal);
      return undefined;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** Takes the Lease if it is free, or asks for it; otherwise resolves after a change, or the time between attempts. */
  async #step(candidacy: Candidacy, signal: AbortSignal, late: AbortSignal): Promise<Term | undefined> {
    const changed = new AbortController();
    const stop = this.#lease.onChange(() => changed.abort());
    try {
      const wait = this.#waitingTime(candidacy.isPrepared());
      if (wait > 0 && this.#lease.isKnown) candidacy.standsBy();
      const term = wait > 0 ? undefined : await this.#attempt(async () => this.#take(late), signal);
      if (term !== undefined) return term;
      if (wait > 0 && candidacy.asks()) await this.#attempt(async () => this.#ask(late), signal);
      const either = AbortSignal.any([changed.signal, signal]);
      await this.#dependencies.clock.sleep(Math.min(Math.max(wait, 1), leaseTimes.retryPeriod), either);
      return undefined;
    } finally {
      stop();
    }
  }

  /** Has nobody wait for a pod that ends: it asks no more, cleans up no more, and gives up what it was handed meanwhile. Never rejects. */
  async #withdraw(signal: AbortSignal): Promise<void> {
    const withoutThis = (pod: string): string => (pod === this.#config.pod ? "" : pod);
    try {
      for (;;) {
        const { record, exists } = this.#lease;
        if (record === undefined || !exists) return;
        const { holder, candidate, cleaner } = record;
        if (![holder, candidate, cleaner].includes(this.#config.pod)) return;
        const rest = { holder: withoutThis(holder), candidate: withoutThis(candidate), cleaner: withoutThis(cleaner) };
        const written = cleaner === this.#config.pod ? "" : record.written;
        if (await this.#lease.write({ ...record, ...rest, written }, signal)) return;
      }
    } catch (error) {
      this.#dependencies.log("warn", `the lease could not be given up, and ends by itself: ${errorMessage(error)}`);
    }
  }

  /** How long to leave the Lease alone, in milliseconds. */
  #waitingTime(isPrepared: boolean): number {
    if (!this.#lease.isKnown) return Infinity;
    const { record } = this.#lease;
    if (record === undefined) return 0;
    const { holder } = record;
    // Where somebody deleted it, its holder puts it back, until it gives up.
    if (!this.#lease.exists)
      return holder === unknownHolder ? 0 : Math.max(0, leaseTimes.renewDeadline - this.#lease.sinceRenewal());
    if (holder === this.#config.pod) return 0;
    const valid = holder === "" ? 0 : leaseTimes.duration;
    const isFirstChoice = isPrepared && record.template === this.#config.template;
    return Math.max(0, valid + (isFirstChoice ? 0 : secondChoiceDelay) - this.#lease.sinceRenewal());
  }

  async #take(signal: AbortSignal): Promise<Term | undefined> {
    const { clock } = this.#dependencies;
    const sent: Moment = { now: clock.now(), uptime: clock.uptime() };
    const { record, exists } = this.#lease;
    if (record !== undefined && !exists) return void (await this.#lease.restore(record, signal));
    const isGiven = record?.holder === this.#config.pod;
    const taken = takenLease(this.#config, record, microTime(sent.now));
    if (!(await this.#lease.write(taken, signal))) return undefined;
    this.#failures = 0;
    const giver = isGiven && this.#lastOther !== "" ? this.#lastOther : undefined;
    this.#lastOther = "";
    return new Term(this.#config, this.#lease, this.#dependencies, sent, {
      taken,
      giver,
      grants: (pod) => clock.uptime() - (this.#grants.get(pod) ?? -Infinity) >= secondGrantDelay,
      granted: (pod) => void this.#grants.set(pod, clock.uptime()),
    });
  }

  async #ask(signal: AbortSignal): Promise<undefined> {
    const { record, exists } = this.#lease;
    const { clock, log } = this.#dependencies;
    // To ask for one that somebody deleted would create it, with the holder that was known last.
    if (record === undefined || !exists || record.candidate !== "" || clock.uptime() - this.#askedAt < secondAskDelay)
      return;
    if (!(await this.#lease.write({ ...record, candidate: this.#config.pod }, signal))) return;
    [this.#askedAt, this.#failures] = [clock.uptime(), 0];
    log("info", `asked ${record.holder} for the lease`);
  }

  /** Resolves to undefined, after the time between attempts, where the API server did not serve one. */
  async #attempt<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    const { clock, log, random } = this.#dependencies;
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return undefined;
      log(shouldLog(++this.#failures) ? "warn" : "debug", `the lease cannot be acquired: ${errorMessage(error)}`);
      await clock.sleep(leaseTimes.retryPeriod * (0.5 + random() / 2), signal);
      return undefined;
    }
  }

  #observe(): void {
    const { holder = "" } = this.#lease.record ?? {};
    if (holder !== this.#config.pod) this.#lastOther = holder;
  }
}
