// The time during which a helper holds the Lease: it renews it, and alone writes.
import type { HelperConfig } from "../config/helper-config.ts";
import { errorMessage } from "../shared/messages.ts";
import type { ElectionDependencies, LeaseClient } from "./lease-client.ts";
import { leaseTimes, microTime } from "./lease.ts";

/** A moment by both clocks: one may stand still while the machine sleeps, the other may be set. */
export interface Moment {
  readonly now: number;
  readonly uptime: number;
}

/** How long a helper that ends tries to give the Lease up, in milliseconds: otherwise it ends by itself. */
const releaseTimeout = 700;

/** One term. `end` has to be called, once nothing that belongs to it is written any more. */
export class Term {
  readonly #config: HelperConfig;
  readonly #lease: LeaseClient;
  readonly #dependencies: ElectionDependencies;
  readonly #lost = new AbortController();
  readonly #wanted = new AbortController();
  readonly #ended = new AbortController();
  readonly #giver: string | undefined;
  readonly #stopListening: () => void;
  readonly #renewing: Promise<void>;
  #renewed: Moment;
  #handedOverAt = -Infinity;
  #cancelExpiry: () => void = () => undefined;

  /** `acquired` is when the request was sent that acquired it; `giver` the pod that handed it over, if one did. */
  constructor(
    config: HelperConfig,
    lease: LeaseClient,
    dependencies: ElectionDependencies,
    acquired: Moment,
    giver: string | undefined,
  ) {
    [this.#config, this.#lease, this.#dependencies] = [config, lease, dependencies];
    [this.#renewed, this.#giver] = [acquired, giver];
    this.#stopListening = lease.onChange(() => this.#observe());
    this.#awaitExpiry();
    this.#renewing = this.#renewUntilEnded();
  }

  /** Aborts, with the reason, as soon as the Lease is lost: nothing may be written any more. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Aborts when another helper asks for the Lease. */
  get wanted(): AbortSignal {
    return this.#wanted.signal;
  }

  /** When, by `clock.uptime`, the Lease was handed over to a helper that asked for it; -Infinity if it was not. */
  get handedOverAt(): number {
    return this.#handedOverAt;
  }

  /**
   * Whether the holder may write at this very moment. It is asked before each write, and not only told by a timer: a process that
   * was stopped continues where it was.
   */
  isValid(): boolean {
    return !this.#lost.signal.aborted && !this.#ended.signal.aborted && this.#sinceRenewal() < leaseTimes.renewDeadline;
  }

  /**
   * Gives the Lease up: to the helper that asked for it, with `back` to the one that had handed it over, or else to any. Never
   * rejects. Nothing may be written afterwards.
   */
  async end({ back = false } = {}): Promise<void> {
    this.#stopListening();
    const wasValid = this.isValid();
    this.#ended.abort();
    this.#cancelExpiry();
    await this.#renewing;
    if (!wasValid) return;
    const { log } = this.#dependencies;
    try {
      const next = await this.#giveUp(back);
      if (next !== undefined) log("info", next === "" ? "gave up the lease" : `handed the lease over to ${next}`);
    } catch (error) {
      log("warn", `the lease could not be given up, and ends by itself: ${errorMessage(error)}`);
    }
  }

  /** Resolves to the next holder, "" for none, or undefined where the Lease was lost meanwhile. */
  async #giveUp(back: boolean): Promise<string | undefined> {
    const signal = AbortSignal.timeout(releaseTimeout);
    for (;;) {
      const { record } = this.#lease;
      if (record?.holder !== this.#config.pod) return undefined;
      const next = record.candidate !== "" ? record.candidate : back ? (this.#giver ?? "") : "";
      const now = microTime(this.#dependencies.clock.now());
      const given = { ...record, holder: next, candidate: "", renewedAt: now, acquiredAt: now };
      if (!(await this.#lease.write(given, signal))) continue;
      if (record.candidate !== "") this.#handedOverAt = this.#dependencies.clock.uptime();
      return next;
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
        if (!(await this.#lease.write({ ...record, renewedAt: microTime(sent.now) }, signal))) continue;
        this.#renewed = sent;
        this.#awaitExpiry();
        return;
      }
    } catch (error) {
      if (!signal.aborted) log("debug", `the lease could not be renewed: ${errorMessage(error)}`);
    }
  }

  /** Looks at what the Lease says now. */
  #observe(): void {
    const { holder = "", candidate = "" } = this.#lease.record ?? {};
    if (holder !== this.#config.pod) this.#lose(holder === "" ? "somebody emptied it" : `${holder} holds it`);
    else if (candidate !== "" && candidate !== this.#config.pod) this.#wanted.abort();
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
