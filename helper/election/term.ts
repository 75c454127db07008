// The time during which a helper holds the Lease: it renews it, and alone writes.
import type { HelperConfig } from "../config/helper-config.ts";
import { errorMessage } from "../shared/messages.ts";
import { isLentTo, passedOn, type TermEnd } from "./handover.ts";
import type { ElectionDependencies, LeaseClient } from "./lease-client.ts";
import { leaseTimes, microTime, releaseTimeout, type LeaseRecord } from "./lease.ts";

/** A moment by both clocks: one may stand still while the machine sleeps, the other may be set. */
export interface Moment {
  readonly now: number;
  readonly uptime: number;
}

/** Whom the holder hands the Lease over to. */
export interface Handover {
  /** The Lease as it was acquired. */
  readonly taken: LeaseRecord;
  /** The pod that handed it over to this one; undefined where it was free. */
  readonly giver: string | undefined;
  /** Whether it is handed over to a pod that asks. */
  readonly grants: (pod: string) => boolean;
  /** Called after it was handed over to a pod. */
  readonly granted: (pod: string) => void;
}

/** One term. `end` has to be called, once nothing that belongs to it is written any more. */
export class Term {
  readonly #config: HelperConfig;
  readonly #lease: LeaseClient;
  readonly #dependencies: ElectionDependencies;
  readonly #lost = new AbortController();
  readonly #wanted = new AbortController();
  readonly #ended = new AbortController();
  readonly #handover: Handover;
  readonly #stopListening: () => void;
  readonly #renewing: Promise<void>;
  #renewed: Moment;
  #cancelExpiry: () => void = () => undefined;

  /** `acquired` is when the request was sent that acquired it. */
  constructor(
    config: HelperConfig,
    lease: LeaseClient,
    dependencies: ElectionDependencies,
    acquired: Moment,
    handover: Handover,
  ) {
    [this.#config, this.#lease, this.#dependencies] = [config, lease, dependencies];
    [this.#renewed, this.#handover] = [acquired, handover];
    this.#stopListening = lease.onChange(() => this.#observe());
    this.#awaitExpiry();
    this.#renewing = this.#renewUntilEnded();
    // The watch may have been faster than the answer to the request.
    this.#observe();
  }

  /** Aborts, with the reason, as soon as the Lease is lost: nothing may be written any more. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Aborts when another helper asks for the Lease. */
  get wanted(): AbortSignal {
    return this.#wanted.signal;
  }

  /** For a Lease that was lent for a clean-up: what the helper that lent it keeps, by its hash. Undefined in any other term. */
  get lentFor(): string | undefined {
    const { taken } = this.#handover;
    return isLentTo(this.#config.pod, taken) ? taken.written : undefined;
  }

  /** The pod that the Lease has to be lent to once everything is written; "" for none. */
  get cleaner(): string {
    const { taken } = this.#handover;
    // One that has ended has taken its name away. A name that somebody else has put there does not count.
    return this.lentFor === undefined && this.#lease.record?.cleaner === taken.cleaner ? taken.cleaner : "";
  }

  /**
   * Whether the holder may write at this very moment. It is asked before each write, and not only told by a timer: a process that
   * was stopped continues where it was.
   */
  isValid(): boolean {
    return !this.#lost.signal.aborted && !this.#ended.signal.aborted && this.#sinceRenewal() < leaseTimes.renewDeadline;
  }

  /** Gives the Lease up: to the helper that asks for it, or else as `how` says. Never rejects. Nothing may be written afterwards. */
  async end(how: TermEnd = {}): Promise<void> {
    this.#stopListening();
    const wasValid = this.isValid();
    this.#ended.abort();
    this.#cancelExpiry();
    await this.#renewing;
    if (!wasValid) return;
    const { log } = this.#dependencies;
    try {
      const next = await this.#giveUp(how);
      if (next !== undefined) log("info", next === "" ? "gave up the lease" : `handed the lease over to ${next}`);
    } catch (error) {
      log("warn", `the lease could not be given up, and ends by itself: ${errorMessage(error)}`);
    }
  }

  /** Resolves to the next holder, "" for none, or undefined where the Lease was lost meanwhile. */
  async #giveUp(how: TermEnd): Promise<string | undefined> {
    const signal = AbortSignal.timeout(releaseTimeout);
    const { pod } = this.#config;
    for (;;) {
      const { record } = this.#lease;
      if (record?.holder !== pod) return undefined;
      const grants = this.#grants(record.candidate);
      const giver = this.#handover.giver ?? "";
      const time = microTime(this.#dependencies.clock.now());
      const given = passedOn(record, { pod, giver, cleaner: this.cleaner, grants }, how);
      if (!(await this.#lease.write({ ...given, renewedAt: time, acquiredAt: time }, signal))) continue;
      if (grants) this.#handover.granted(given.holder);
      return given.holder;
    }
  }

  async #renewUntilEnded(): Promise<void> {
    const { clock } = this.#dependencies;
    const signal = AbortSignal.any([this.#ended.signal, this.#lost.signal]);
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      await clock.sleep(leaseTimes.retryPeriod, signal);
      if (!isOver()) await this.#renew(signal);
    }
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#dependencies;
    try {
      const isOver = (): boolean => signal.aborted;
      while (!isOver()) {
        const sent: Moment = { now: clock.now(), uptime: clock.uptime() };
        const { record } = this.#lease;
        if (record === undefined) return;
        if (!(await this.#lease.write(this.#renewal(record, sent), signal))) continue;
        this.#renewed = sent;
        this.#awaitExpiry();
        return;
      }
    } catch (error) {
      if (!signal.aborted) log("debug", `the lease could not be renewed: ${errorMessage(error)}`);
    }
  }

  /** The Lease renewed. A pod that asks in vain is dropped: it may be gone, and others ask only where nobody does. */
  #renewal(record: LeaseRecord, { now }: Moment): LeaseRecord {
    const candidate = this.#grants(record.candidate) ? record.candidate : "";
    const { template, written } = this.#handover.taken;
    const cleaner = this.lentFor === undefined ? this.cleaner : this.#config.pod;
    return { ...record, template, candidate, cleaner, written, renewedAt: microTime(now) };
  }

  /** Looks at what the Lease says now. */
  #observe(): void {
    const { holder = "", candidate = "" } = this.#lease.record ?? {};
    if (holder !== this.#config.pod) this.#lose(holder === "" ? "somebody emptied it" : `${holder} holds it`);
    else if (this.#grants(candidate)) this.#wanted.abort();
  }

  #grants(candidate: string): boolean {
    return candidate !== "" && candidate !== this.#config.pod && this.#handover.grants(candidate);
  }

  #awaitExpiry(): void {
    this.#cancelExpiry();
    const remaining = leaseTimes.renewDeadline - this.#sinceRenewal();
    this.#cancelExpiry = this.#dependencies.clock.after(Math.max(0, remaining), () => {
      if (this.#sinceRenewal() >= leaseTimes.renewDeadline) this.#lose("it could not be renewed in time");
      else this.#awaitExpiry();
    });
  }

  #lose(reason: string): void {
    if (this.#lost.signal.aborted || this.#ended.signal.aborted) return;
    this.#cancelExpiry();
    this.#dependencies.log("error", `lost the lease, and writes nothing more: ${reason}`);
    this.#lost.abort(new Error(`the lease was lost: ${reason}`));
  }

  /** How long ago the last request that renewed it was sent, in milliseconds: the longer one of what the two clocks say. */
  #sinceRenewal(): number {
    const { clock } = this.#dependencies;
    return Math.max(clock.now() - this.#renewed.now, clock.uptime() - this.#renewed.uptime);
  }
}
