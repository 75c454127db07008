// One soak: injects faults into everything that a helper depends on, and checks every credential continually.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { HelperProcess, LogLine } from "../support/helper-process.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";
import type { DisposableCluster } from "../support/disposable-cluster.ts";
import { seeded } from "../support/seeded.ts";
import { startFaultProxies, type FaultProxies } from "./fault-proxies.ts";
import { NamespaceChurn } from "./namespace-churn.ts";
import { unreachable, type FaultKind, type Proxies, type Side } from "./faults.ts";
import { hasConvergedAfter, recoveryLimit, type Period, type Sample } from "./credential-check.ts";
import { Sampler } from "./sampler.ts";
import { usageOf, type Usage } from "./usage.ts";

/** How long a token lives by default, in milliseconds. */
const defaultTokenLife = 30_000;
/** The length of a declared outage, in milliseconds: longer than a token lives. */
const declaredOutage = 45_000;
/** The interval between two measurements of the helper's process, in milliseconds. */
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
  /** The measurements of each of the helper's processes, one list a process, in the order of time. */
  readonly usageByProcess: Usage[][] = [];
  readonly churn: NamespaceChurn;
  readonly sampler: Sampler;
  /** Aborts when the soak has to end. */
  readonly over = new AbortController();
  /** All failures except credentials that were not valid. */
  readonly errors: string[] = [];
  /** The number of lines that `takeLines` has returned so far. */
  logLines = 0;
  /** What the helper logged since the last fault began, when a credential was missing for the first time. */
  linesBeforeFailure: string[] = [];
  readonly parts: Parts;
  /** The prefix of all its build namespaces' names. */
  readonly prefix: string;
  /** The namespaces of hostile tenants. */
  readonly attacked: readonly string[];
  readonly #proxies: Proxies;
  readonly #lastToken: FaultProxies["lastToken"];
  readonly #closeProxies: () => Promise<void>;
  #helper: HelperProcess;
  #work: Promise<unknown> = Promise.resolve();

  private constructor(seed: number, id: string, attacked: readonly string[], parts: Parts, faultProxies: FaultProxies) {
    [this.parts, this.prefix, this.attacked] = [parts, id, attacked];
    const { proxies, accepts, lastToken, close } = faultProxies;
    [this.#proxies, this.#lastToken, this.#closeProxies] = [proxies, lastToken, close];
    this.churn = new NamespaceChurn({ admin: parts.admin, prefix: id, random: seeded(seed) });
    const onFirstFailure = (): void => {
      this.linesBeforeFailure = this.#helper.lines.map(
        ({ time = "", level, message }) => `${time} ${level} ${message}`,
      );
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
    this.#helper = this.#start();
  }

  /** Starts the helper, the namespaces and the checks. */
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
      const lifts = await Promise.all(kinds.map(async ({ begin }) => begin(this.#proxies)));
      await this.pause(milliseconds);
      await Promise.all(lifts.map(async (lift) => lift()));
    });
  }

  /** Declares an outage that is longer than a token lives, and waits until all credentials are valid again. */
  async outage(side: Side): Promise<Period> {
    return this.injectFaults([unreachable(side)], declaredOutage, true);
  }

  /** Kills the helper, starts another one after some milliseconds, and waits until all credentials are valid. */
  async kill(milliseconds: number): Promise<Period> {
    const period = { what: "helper is killed", blocksApiServer: true, isDeclared: false, from: Date.now() };
    return this.#period(period, async () => {
      await this.#helper.stop("SIGKILL");
      await this.pause(milliseconds);
      this.#helper = this.#start();
    });
  }

  /** Waits for some milliseconds, or until the soak has to end. */
  async pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.over.signal }).catch(() => undefined);
  }

  /** Returns what the helper has logged since the last call. */
  takeLines(): LogLine[] {
    const lines = this.#helper.lines.splice(0);
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
    const wasRefused = this.#helper.lines.some(({ message }) => refusedToken.test(message));
    return (!wasRefused || at >= (period.to ?? Infinity)) && hasConvergedAfter(period, sample, password);
  }

  #start(): HelperProcess {
    const { ecr, kubernetes } = this.#proxies;
    this.usageByProcess.push([]);
    const cluster = { ...this.parts.cluster, server: kubernetes.url, ca: kubernetes.ca };
    return this.parts.run({ AWS_ENDPOINT_URL: ecr.url }, cluster);
  }

  async #measure(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const isKilled = this.periods.at(-1)?.what === "helper is killed" && this.periods.at(-1)?.to === undefined;
      if (!isKilled && this.#helper.hasEnded) throw new Error("the helper ended by itself");
      if (!this.#helper.hasEnded) this.usageByProcess.at(-1)?.push(usageOf(this.#helper.pid));
      await sleep(usageInterval, undefined, { signal }).catch(() => undefined);
    }
  }
}
