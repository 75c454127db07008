// One soak: a helper that is let down by everything it depends on, again and again, and looked at all the time.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { HelperProcess, LogLine } from "../support/helper-process.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";
import type { DisposableCluster } from "../support/disposable-cluster.ts";
import { seeded } from "../support/seeded.ts";
import { surround, type Around } from "./fault-proxies.ts";
import { Crowd } from "./namespace-churn.ts";
import { unreachable, type Kind, type Proxies, type Side } from "./faults.ts";
import { isRightAfter, recoveryLimit, type Period, type Sample } from "./credential-check.ts";
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
  /** So many namespaces that stay as they are, instead of those that come and go. */
  readonly calm?: number;
  /** So many more that somebody hostile owns; he makes them, and nobody looks whether they have credentials. */
  readonly attacked?: number;
}

export class Soak {
  /** In the order of time. */
  readonly periods: Period[] = [];
  /** Of each of the helper's processes, one after the other. */
  readonly lives: Usage[][] = [];
  readonly crowd: Crowd;
  readonly sampler: Sampler;
  /** Aborts when the soak is to end. */
  readonly over = new AbortController();
  /** What should not have been, besides moments without a credential. */
  readonly wrong: string[] = [];
  logLines = 0;
  /** What the helper said in the fault before the first moment without a credential. */
  said: string[] = [];
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

  private constructor(seed: number, id: string, attacked: readonly string[], parts: Parts, around: Around) {
    [this.parts, this.prefix, this.attacked] = [parts, id, attacked];
    [this.#proxies, this.#latest, this.#closing] = [around.proxies, around.latest, around.close];
    this.crowd = new Crowd({ admin: parts.admin, prefix: id, random: seeded(seed) });
    const { accepts } = around;
    const failed = (): void => {
      this.said = this.#helper.lines.map(({ time = "", level, message }) => `${time} ${level} ${message}`);
    };
    const { since } = this.crowd;
    this.sampler = new Sampler({ parts, accepts, since, ignored: attacked, periods: this.periods, failed });
    this.#helper = this.#start();
  }

  /** Resolves when everything is there and looked at, and the helper has done its first work. */
  static async start(
    { kubeconfig, command }: DisposableCluster,
    seed: number,
    { tokenLife = usualLife, calm, attacked = 0 }: SoakOptions = {},
  ): Promise<Soak> {
    const id = `soak-${randomBytes(3).toString("hex")}`;
    const parts = await makeParts([`${id}-*`], { kubeconfig, command });
    const hostile = Array.from({ length: attacked }, (_, index) => `${id}-hostile-${String(index)}`);
    const soak = new Soak(seed, id, hostile, parts, await surround(parts, tokenLife));
    await soak.crowd.gather(calm);
    const { signal } = soak.over;
    const living = calm === undefined ? soak.crowd.live(signal) : undefined;
    soak.#work = Promise.all([living, soak.sampler.run(signal), soak.#measure(signal)]).catch((error: unknown) => {
      // What ends with the soak, as on Ctrl-C, is nothing that was wrong in it.
      if (!signal.aborted) soak.wrong.push(String(error));
      soak.over.abort();
    });
    return soak;
  }

  /** Lets some faults be for so many milliseconds, and waits until all is right again. */
  async suffer(kinds: readonly Kind[], milliseconds: number, isDeclared = false): Promise<Period> {
    const what = kinds.map(({ side, name }) => `${side} ${name}`).join(" and ");
    const hinders = kinds.some(({ side }) => side === "kubernetes");
    return this.#period({ what, hinders, isDeclared, from: Date.now() }, async () => {
      const lifts = await Promise.all(kinds.map(async ({ begin }) => begin(this.#proxies)));
      await this.pause(milliseconds);
      await Promise.all(lifts.map(async (lift) => lift()));
    });
  }

  /** An outage that is longer than a token lives. */
  async outage(side: Side): Promise<Period> {
    return this.suffer([unreachable(side)], declaredOutage, true);
  }

  /** Kills the helper as it stands, and starts the next one so many milliseconds later. */
  async kill(milliseconds: number): Promise<Period> {
    const period = { what: "helper is killed", hinders: true, isDeclared: false, from: Date.now() };
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

  /** What the helper has said since it was asked last. */
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
    // What was read is counted and let go: there may be days of it.
    this.takeLines();
    await work();
    period.to = Date.now();
    const isRight = (sample: Sample): boolean => this.#isRight(period, sample);
    const { signal } = this.over;
    if (signal.aborted) return period;
    const right = (await this.sampler.until(isRight, recoveryLimit, signal))?.at;
    // What the end of the soak came before is not known.
    if (right !== undefined || !this.#isOver()) period.right = right ?? Infinity;
    return period;
  }

  /** After a refused request for a token there is to be another one that is not. */
  #isRight(period: Period, sample: Sample): boolean {
    const { password, at } = this.#latest();
    const wasRefused = this.#helper.lines.some(({ message }) => refusedToken.test(message));
    return (!wasRefused || at >= (period.to ?? Infinity)) && isRightAfter(period, sample, password);
  }

  #start(): HelperProcess {
    const { ecr, kubernetes } = this.#proxies;
    this.lives.push([]);
    const cluster = { ...this.parts.cluster, server: kubernetes.url, ca: kubernetes.ca };
    return this.parts.run({ AWS_ENDPOINT_URL: ecr.url }, cluster);
  }

  async #measure(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const isKilled = this.periods.at(-1)?.what === "helper is killed" && this.periods.at(-1)?.to === undefined;
      if (!isKilled && this.#helper.hasEnded) throw new Error("the helper ended by itself");
      if (!this.#helper.hasEnded) this.lives.at(-1)?.push(usageOf(this.#helper.pid));
      await sleep(usageInterval, undefined, { signal }).catch(() => undefined);
    }
  }
}
