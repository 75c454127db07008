// One soak: injects faults into everything that a helper depends on, and checks every credential all the time.
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

/** How long a token lives unless a test wants otherwise, and an outage that is longer, in milliseconds. */
const usualLife = 30_000;
const declaredOutage = 45_000;
/** How often the helper's process is looked at, in milliseconds. */
const usageInterval = 3_000;

const refusedToken = /no authorization token/;

export interface SoakOptions {
  /** How long a token lives, in milliseconds. */
  readonly tokenLife?: number;
  /** How many namespaces there are, without any that are created and deleted. */
  readonly calm?: number;
  /** How many further namespaces belong to hostile tenants, whose credentials are not checked. */
  readonly attacked?: number;
}

export class Soak {
  /** In the order of time. */
  readonly periods: Period[] = [];
  /** Of each of the helper's processes, one after the other. */
  readonly usageByProcess: Usage[][] = [];
  readonly churn: NamespaceChurn;
  readonly sampler: Sampler;
  /** Aborts when the soak is to end. */
  readonly over = new AbortController();
  /** Everything that should not have happened, besides namespaces without a credential. */
  readonly errors: string[] = [];
  logLines = 0;
  /** The helper's lines in the fault before a namespace was first without a credential. */
  linesBeforeFailure: string[] = [];
  readonly parts: Parts;
  /** What the names of all its build namespaces begin with. */
  readonly prefix: string;
  /** The namespaces of somebody hostile. */
  readonly attacked: readonly string[];
  readonly #proxies: Proxies;
  /** The password that ECR gave last. */
  readonly #latest: () => { readonly password: string; readonly at: number };
  readonly #closing: () => Promise<void>;
  #helper: HelperProcess;
  #work: Promise<unknown> = Promise.resolve();

  private constructor(seed: number, id: string, attacked: readonly string[], parts: Parts, around: FaultProxies) {
    [this.parts, this.prefix, this.attacked] = [parts, id, attacked];
    [this.#proxies, this.#latest, this.#closing] = [around.proxies, around.lastToken, around.close];
    this.churn = new NamespaceChurn({ admin: parts.admin, prefix: id, random: seeded(seed) });
    const { accepts } = around;
    const failed = (): void => {
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
      onFirstFailure: failed,
    });
    this.#helper = this.#start();
  }

  /** Starts the helper, the namespaces and the checks. */
  static async start(
    { kubeconfig, command }: DisposableCluster,
    seed: number,
    { tokenLife = usualLife, calm, attacked = 0 }: SoakOptions = {},
  ): Promise<Soak> {
    const id = `soak-${randomBytes(3).toString("hex")}`;
    const parts = await makeParts([`${id}-*`], { kubeconfig, command });
    const hostile = Array.from({ length: attacked }, (_, index) => `${id}-hostile-${String(index)}`);
    const soak = new Soak(seed, id, hostile, parts, await startFaultProxies(parts, tokenLife));
    await soak.churn.createInitial(calm);
    const { signal } = soak.over;
    const living = calm === undefined ? soak.churn.run(signal) : undefined;
    soak.#work = Promise.all([living, soak.sampler.run(signal), soak.#measure(signal)]).catch((error: unknown) => {
      // Errors after the end, as on Ctrl-C, do not count.
      if (!signal.aborted) soak.errors.push(String(error));
      soak.over.abort();
    });
    return soak;
  }

  /** Injects faults for a time in milliseconds, and waits until all credentials are valid again. */
  async injectFaults(kinds: readonly FaultKind[], milliseconds: number, isDeclared = false): Promise<Period> {
    const what = kinds.map(({ side, name }) => `${side} ${name}`).join(" and ");
    const blocksApiServer = kinds.some(({ side }) => side === "kubernetes");
    return this.#period({ what, blocksApiServer, isDeclared, from: Date.now() }, async () => {
      const lifts = await Promise.all(kinds.map(async ({ begin }) => begin(this.#proxies)));
      await this.pause(milliseconds);
      await Promise.all(lifts.map(async (lift) => lift()));
    });
  }

  /** An outage that is longer than a token lives. */
  async outage(side: Side): Promise<Period> {
    return this.injectFaults([unreachable(side)], declaredOutage, true);
  }

  /** Kills the helper, and starts the next one after a time in milliseconds. */
  async kill(milliseconds: number): Promise<Period> {
    const period = { what: "helper is killed", blocksApiServer: true, isDeclared: false, from: Date.now() };
    return this.#period(period, async () => {
      await this.#helper.stop("SIGKILL");
      await this.pause(milliseconds);
      this.#helper = this.#start();
    });
  }

  /** Waits so long, or until the soak is to end. */
  async pause(milliseconds: number): Promise<void> {
    await sleep(milliseconds, undefined, { signal: this.over.signal }).catch(() => undefined);
  }

  /** The helper's lines since the last call. */
  takeLines(): LogLine[] {
    const lines = this.#helper.lines.splice(0);
    this.logLines += lines.length;
    return lines;
  }

  #isOver(): boolean {
    return this.over.signal.aborted;
  }

  async end(): Promise<void> {
    this.over.abort();
    await this.#work;
    await this.parts.removeFromAws();
    await this.#closing();
  }

  async #period(period: Period, work: () => Promise<void>): Promise<Period> {
    this.periods.push(period);
    // Counts the lines and drops them: a soak may last for days.
    this.takeLines();
    await work();
    period.to = Date.now();
    const isRight = (sample: Sample): boolean => this.#isRight(period, sample);
    const { signal } = this.over;
    if (signal.aborted) return period;
    const right = (await this.sampler.until(isRight, recoveryLimit, signal))?.at;
    // If the soak ended first, the time of the recovery is unknown.
    if (right !== undefined || !this.#isOver()) period.convergedAt = right ?? Infinity;
    return period;
  }

  /** Whether a period is over for the helper: if ECR denied a token in it, a newer one has been issued, too. */
  #isRight(period: Period, sample: Sample): boolean {
    const { password, at } = this.#latest();
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
