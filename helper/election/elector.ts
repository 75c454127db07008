// Decides by a Lease which of the stack's helpers works. The others stand by.
import type { HelperConfig } from "../config/helper-config.ts";
import { errorMessage } from "../shared/messages.ts";
import { LeaseClient, type ElectionDependencies } from "./lease-client.ts";
import { leaseTimes, microTime, type LeaseRecord } from "./lease.ts";
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

/** How much longer than others, in milliseconds, a helper that is not prepared waits for a Lease that somebody has held. */
const unpreparedDelay = 5_000;

/**
 * A pod that was handed the Lease, and lost it, gets it again after this time only, in milliseconds: one that ends over and over
 * would leave everybody without a helper for as long as the Lease is valid, each time.
 */
const secondGrantDelay = 300_000;

/** Who holds the Lease, seen from one helper. */
export class Elector {
  readonly #config: HelperConfig;
  readonly #dependencies: ElectionDependencies;
  readonly #lease: LeaseClient;
  #term: Term | undefined;
  /** The pod that held it before this one. */
  #lastOther = "";
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

  /** The holder and its pod template; undefined while that is not known, or nobody is. */
  get holder(): Pick<LeaseRecord, "holder" | "template"> | undefined {
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
    while (!signal.aborted) {
      const changed = this.#change(signal);
      const wait = this.#waitingTime(candidacy.isPrepared());
      if (wait > 0 && this.#lease.isKnown) candidacy.standsBy();
      const term = wait > 0 ? undefined : await this.#attempt(async () => this.#take(signal), signal);
      if (term !== undefined) return (this.#term = term);
      if (wait > 0 && candidacy.asks()) await this.#attempt(async () => this.#ask(signal), signal);
      await changed(Math.min(Math.max(wait, 1), leaseTimes.retryPeriod));
    }
    return undefined;
  }

  /** Notices a change from now on. The returned function resolves at the first one, or after that time. */
  #change(signal: AbortSignal): (milliseconds: number) => Promise<void> {
    const woken = new AbortController();
    const stop = this.#lease.onChange(() => woken.abort());
    return async (milliseconds) => {
      await this.#dependencies.clock.sleep(milliseconds, AbortSignal.any([woken.signal, signal]));
      stop();
    };
  }

  /** How long to leave the Lease alone, in milliseconds. */
  #waitingTime(isPrepared: boolean): number {
    if (!this.#lease.isKnown) return Infinity;
    const { record } = this.#lease;
    if (record === undefined || record.holder === this.#config.pod) return 0;
    const valid = record.holder === "" ? 0 : record.duration;
    return Math.max(0, valid + (isPrepared ? 0 : unpreparedDelay) - this.#lease.sinceRenewal());
  }

  async #take(signal: AbortSignal): Promise<Term | undefined> {
    const { clock } = this.#dependencies;
    const sent: Moment = { now: clock.now(), uptime: clock.uptime() };
    const { record } = this.#lease;
    const time = microTime(sent.now);
    const isGiven = record?.holder === this.#config.pod;
    const taken: LeaseRecord = {
      holder: this.#config.pod,
      template: this.#config.template,
      candidate: "",
      duration: leaseTimes.duration,
      acquiredAt: time,
      renewedAt: time,
      transitions: (record?.transitions ?? -1) + 1,
    };
    if (!(await this.#lease.write(taken, signal))) return undefined;
    const giver = isGiven && this.#lastOther !== "" ? this.#lastOther : undefined;
    return new Term(this.#config, this.#lease, this.#dependencies, sent, {
      giver,
      grants: (pod) => clock.uptime() - (this.#grants.get(pod) ?? -Infinity) >= secondGrantDelay,
      granted: (pod) => void this.#grants.set(pod, clock.uptime()),
    });
  }

  async #ask(signal: AbortSignal): Promise<undefined> {
    const { record } = this.#lease;
    if (record === undefined || record.candidate !== "") return;
    const { log } = this.#dependencies;
    if (await this.#lease.write({ ...record, candidate: this.#config.pod }, signal))
      log("info", `asked ${record.holder} for the lease`);
  }

  /** Resolves to undefined, after the time between attempts, where the API server did not serve one. */
  async #attempt<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    const { clock, log, random } = this.#dependencies;
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return undefined;
      log("warn", `the lease cannot be had: ${errorMessage(error)}`);
      await clock.sleep(leaseTimes.retryPeriod * (0.5 + random() / 2), signal);
      return undefined;
    }
  }

  #observe(): void {
    const { holder = "" } = this.#lease.record ?? {};
    if (holder !== "" && holder !== this.#config.pod) this.#lastOther = holder;
  }
}
