// One soak: injects faults into everything that a helper depends on, and checks every credential continually.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { LogLine } from "../support/helper-process.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";
import type { DisposableCluster } from "../support/disposable-cluster.ts";
import { seeded } from "../support/seeded.ts";
import { startFaultProxies, type FaultProxies } from "./fault-proxies.ts";
import { NamespaceChurn } from "./namespace-churn.ts";
import { unreachable, type FaultKind, type Proxies, type Side } from "./faults.ts";
import { hasConvergedAfter, recoveryLimit, type Period, type Sample } from "./credential-check.ts";
import { Sampler } from "./sampler.ts";
import { HelperPair, type TakeoverKind } from "./helper-pair.ts";
import type { Usage } from "./usage.ts";

/** How long a token lives by default, in milliseconds: half of it is longer than a takeover of 17 seconds. */
const defaultTokenLife = 60_000;
/** The length of a declared outage, in milliseconds: longer than a token lives. */
const declaredOutage = 75_000;
/** The interval between two measurements of the helpers' processes, in milliseconds. */
const usageInterval = 3_000;

const refusedToken = /no authorization token/;

/** How a soak is set up. */
export interface SoakOptions {
  /** How long a token lives, in milliseconds. */
  readonly tokenLife?: number;
  /** A fixed number of namespaces; if it is not set, namespaces are created, deleted and disturbed. */
  readonly calm?: number;
  /** The number of further namespaces that belong to hostile tenants, and whose credentials are not checked. */
  readonly attacked?: number;
}

/** A running soak. */
export class Soak {
  /** The faults so far, in the order of time. */
  readonly periods: Period[] = [];
  readonly churn: NamespaceChurn;
  readonly sampler: Sampler;
  /** Aborts when the soak has to end. */
  readonly over = new AbortController();
  /** All failures except credentials that were not valid. */
  readonly errors: string[] = [];
  /** The number of lines that `takeLines` has returned so far. */
  logLines = 0;
  /** What the helpers logged since the last fault began, when a credential was missing for the first time. */
  linesBeforeFailure: string[] = [];
  readonly parts: Parts;
  /** The prefix of all its build namespaces' names. */
  readonly prefix: string;
  /** The namespaces of hostile tenants. */
  readonly attacked: readonly string[];
  readonly #proxies: readonly Proxies[];
  readonly #lastToken: FaultProxies["lastToken"];
  readonly #closeProxies: () => Promise<void>;
  #helpers: HelperPair | undefined;
  #work: Promise<unknown> = Promise.resolve();

  private constructor(seed: number, id: string, attacked: readonly string[], parts: Parts, faultProxies: FaultProxies) {
    [this.parts, this.prefix, this.attacked] = [parts, id, attacked];
    const { proxies, accepts, lastToken, close } = faultProxies;
    [this.#proxies, this.#lastToken, this.#closeProxies] = [proxies, lastToken, close];
    this.churn = new NamespaceChurn({ admin: parts.admin, prefix: id, random: seeded(seed) });
    const onFirstFailure = (): void => {
      const lines = this.#helpers?.lines ?? [];
      this.linesBeforeFailure = lines.map(({ time = "", level, message }) => `${time} ${level} ${message}`);
    };
    const { since } = this.churn;
    this.sampler = new Sampler({
      parts,
      accepts,
      since,
      ignored: attacked,
      periods: this.periods,
      onFirstFailure,
    });
  }

  /** Starts the helpers, the namespaces and the checks. */
  static async start(
    { kubeconfig, command }: DisposableCluster,
    seed: number,
    { tokenLife = defaultTokenLife, calm, attacked = 0 }: SoakOptions = {},
  ): Promise<Soak> {
    const id = `soak-${randomBytes(3).toString("hex")}`;
    const parts = await makeParts([`${id}-*`], { kubeconfig, command });
    const hostile = Array.from({ length: attacked }, (_, index) => `${id}-hostile-${String(index)}`);
    const soak = new Soak(seed, id, hostile, parts, await startFaultProxies(parts, tokenLife));
    await soak.churn.createInitial(calm);
    soak.#helpers = await HelperPair.start(parts, soak.#proxies);
    const { signal } = soak.over;
    const churning = calm === undefined ? soak.churn.run(signal) : undefined;
    soak.#work = Promise.all([churning, soak.sampler.run(signal), soak.#measure(signal)]).catch((error: unknown) => {
      // Errors after the end, for example after Ctrl-C, do not count.
      if (!signal.aborted) soak.errors.push(String(error));
      soak.over.abort();
    });
    return soak;
  }

  /** Injects faults for some milliseconds, and waits until all credentials are valid again, half a minute at most. */
  async injectFaults(kinds: readonly FaultKind[], milliseconds: number, isDeclared = false): Promise<Period> {
    const what = kinds.map(({ side, name }) => `${side} ${name}`).join(" and ");
    const blocksApiServer = kinds.some(({ side }) => side === "kubernetes");
    return this.#period({ what, blocksApiServer, isDeclared, from: Date.now() }, async () => {
      const begun = this.#proxies.flatMap((proxies) => kinds.map(async ({ begin }) => begin(proxies)));
      const lifts = await Promise.all(begun);
      await this.pause(milliseconds);
      await Promise.all(lifts.map(async (lift) => lift()));
    });
  }

  /** Declares an outage that is longer than a token lives, and waits until all credentials are valid again. */
  async outage(side: Side): Promise<Period> {
    return this.injectFaults([unreachable(side)], declaredOutage, true);
  }

  /** Kills the helper that works, starts it again after some milliseconds, and waits until all credentials are valid. */
  async restart(milliseconds: number): Promise<Period> {
    return this.#period(this.#disturbance("restarted"), async () =>
      this.#helpers?.restart(async () => this.pause(milliseconds)),
    );
  }

  /** Has the other helper take over, waits until all credentials are valid, and brings the first one back after some milliseconds. */
  async takeOver(kind: TakeoverKind, milliseconds: number): Promise<Period> {
    let resume: (() => Promise<void>) | undefined;
    const period = await this.#period(this.#disturbance(kind), async () => {
      resume = await this.#helpers?.takeOver(kind);
    });
    await this.pause(milliseconds);
    await resume?.();
    return period;
  }

  #disturbance(what: TakeoverKind | "restarted"): Period {
    return { what: `helper is ${what}`, blocksApiServer: true, isDeclared: false, from: Date.now() };
  }

  /** The measurements of each of the helpers' processes, one list a process, in the order of time. */
  get usageByProcess(): readonly (readonly Usage[])[] {
    return this.#helpers?.usageByProcess ?? [];
  }

  /** Waits for some milliseconds, or until the soak has to end. */
  async pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.over.signal }).catch(() => undefined);
  }

  /** Returns what the helpers have logged since the last call. */
  takeLines(): LogLine[] {
    const lines = this.#helpers?.takeLines() ?? [];
    this.logLines += lines.length;
    return lines;
  }

  #isOver(): boolean {
    return this.over.signal.aborted;
  }

  /** Ends the soak and removes what it created in AWS. */
  async end(): Promise<void> {
    this.over.abort();
    await this.#work;
    await this.parts.removeFromAws();
    await this.#closeProxies();
  }

  async #period(period: Period, work: () => Promise<void>): Promise<Period> {
    this.periods.push(period);
    // Counts the lines and drops them: a soak may last for days.
    this.takeLines();
    await work();
    period.to = Date.now();
    const hasConverged = (sample: Sample): boolean => this.#hasConverged(period, sample);
    const { signal } = this.over;
    if (signal.aborted) return period;
    const convergedAt = (await this.sampler.until(hasConverged, recoveryLimit, signal))?.at;
    // If the soak ended first, the time of the recovery is unknown.
    if (convergedAt !== undefined || !this.#isOver()) period.convergedAt = convergedAt ?? Infinity;
    return period;
  }

  /** Whether the helper has recovered from a fault. If ECR denied a token in it, a newer one must have been issued. */
  #hasConverged(period: Period, sample: Sample): boolean {
    const { password, at } = this.#lastToken();
    const wasRefused = this.#helpers?.lines.some(({ message }) => refusedToken.test(message));
    return (wasRefused !== true || at >= (period.to ?? Infinity)) && hasConvergedAfter(period, sample, password);
  }

  async #measure(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#helpers?.measure();
      await sleep(usageInterval, undefined, { signal }).catch(() => undefined);
    }
  }
}
