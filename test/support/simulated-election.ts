// Helpers that compete for a Lease which exists in memory, on a virtual clock: each may be paused, cut off, or have a wrong clock.
import assert from "node:assert/strict";
import { readConfig } from "../../helper/config/helper-config.ts";
import { Elector, type Candidacy } from "../../helper/election/elector.ts";
import type { TermEnd } from "../../helper/election/handover.ts";
import type { Term } from "../../helper/election/term.ts";
import type { Kube, KubeRequest } from "../../helper/kube/types.ts";
import type { Clock } from "../../helper/runtime/clock.ts";
import { helperEnvironment } from "./helper-environment.ts";
import { SimulatedLease } from "./simulated-lease.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** What may be wrong with one helper. */
export type Condition = "well" | "paused" | "cut off";

const second = 1_000;

/** One helper that competes until `stop`. */
export class SimulatedHelper {
  readonly name: string;
  readonly elector: Elector;
  /** Levels and messages. */
  readonly log: [string, string][] = [];
  candidacy: Candidacy = { isPrepared: () => true, asks: () => false, standsBy: () => undefined };
  term: Term | undefined;
  cleansUp = false;
  /** Whether it has something to remove once the next one has written everything. */
  isCleaner = false;
  /** How often it was lent the Lease. */
  lent = 0;
  /** Whether its watch tells nothing any more. */
  isWatchDead = false;
  /** How long its requests wait for their answers, in milliseconds. */
  answersAfter = 0;
  #skew = 0;
  #condition: Condition = "well";
  #resume: (() => void)[] = [];
  readonly #clock: VirtualClock;
  readonly #own: Clock;
  readonly #lease: SimulatedLease;
  readonly #stop = new AbortController();

  constructor(name: string, clock: VirtualClock, lease: SimulatedLease, template = "t1") {
    [this.name, this.#clock, this.#lease] = [name, clock, lease];
    const config = readConfig({ ...helperEnvironment, ECR_HELPER_POD: name, ECR_HELPER_TEMPLATE: template });
    this.#own = {
      now: () => clock.now() + this.#skew,
      uptime: clock.uptime,
      after: (milliseconds, call) => clock.after(milliseconds, () => this.#whenRunning(call)),
      sleep: async (milliseconds, signal) => {
        await clock.sleep(milliseconds, signal);
        await this.#running();
      },
    };
    this.elector = new Elector(config, {
      kube: this.#kube,
      stream: (request) => this.#stream(request.signal),
      clock: this.#own,
      random: () => 0.5,
      owners: () => [],
      log: (level, message) => void this.log.push([level, message]),
    });
  }

  /** Follows the Lease, and works whenever it has it, until `stop`; then it borrows the Lease once more where it `cleansUp`. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    const following = new AbortController();
    const followed = this.elector.follow(following.signal);
    const candidacy: Candidacy = {
      isPrepared: () => this.candidacy.isPrepared(),
      asks: () => this.candidacy.asks(),
      standsBy: () => this.candidacy.standsBy(),
    };
    while (!signal.aborted) {
      this.term = await this.elector.acquire(candidacy, signal);
      if (this.term === undefined) break;
      await this.term.end(await this.#work(this.term, signal));
    }
    if (this.cleansUp) {
      this.term = await this.elector.acquire({ ...this.candidacy, asks: () => true }, following.signal);
      await this.term?.end({ back: true });
    }
    following.abort();
    await followed;
  }

  /** Takes a second to clean up, or to write everything where the Lease has to be lent then; otherwise it works as long as it may. */
  async #work(term: Term, signal: AbortSignal): Promise<TermEnd> {
    if (term.lentFor !== undefined) {
      this.lent++;
      await this.#own.sleep(second, term.lost);
      return { back: true };
    }
    const either = AbortSignal.any([term.lost, term.wanted, signal]);
    await this.#own.sleep(second, either);
    if (!either.aborted && term.cleaner !== "") return { written: "everything" };
    await this.#own.sleep(Number.MAX_SAFE_INTEGER, either);
    return { cleansUp: this.isCleaner && term.wanted.aborted };
  }

  /** Makes its clock wrong by so many milliseconds. */
  setClock(skew: number): void {
    this.#skew = skew;
  }

  /** SIGTERM. */
  stop(): void {
    this.#stop.abort();
  }

  /** Pauses the process, cuts its network, or ends that. */
  become(condition: Condition): void {
    this.#condition = condition;
    const resumed = condition === "paused" ? [] : this.#resume.splice(0);
    for (const one of resumed) one();
  }

  readonly #kube: Kube = async <T>(request: KubeRequest) => {
    await this.#running();
    // A packet that is lost is never answered: the caller gives up.
    if (this.#condition === "cut off") await this.#aborted(request.signal);
    const answer = this.#lease.serve(request);
    if (this.answersAfter > 0) await this.#clock.sleep(this.answersAfter, new AbortController().signal);
    await this.#running();
    if (this.#condition === "cut off") await this.#aborted(request.signal);
    return answer as T;
  };

  async *#stream(signal: AbortSignal): AsyncGenerator<string, void> {
    for await (const line of this.#lease.watch(signal)) {
      await this.#running();
      if (this.isWatchDead) continue;
      if (this.#condition === "cut off") await this.#clock.sleep(3_000, signal);
      if (this.#condition === "cut off") throw new Error("the connection does not answer any more");
      yield line;
    }
  }

  async #aborted(signal: AbortSignal | undefined): Promise<never> {
    return new Promise((_, reject) => {
      const fail = (): void => reject(new Error("aborted"));
      if (signal?.aborted === true) fail();
      signal?.addEventListener("abort", fail, { once: true });
    });
  }

  #whenRunning(call: () => void): void {
    if (this.#condition === "paused") this.#resume.push(call);
    else call();
  }

  async #running(): Promise<void> {
    if (this.#condition === "paused") await new Promise<void>((resolve) => this.#resume.push(resolve));
  }
}

/** Runs `work` with helpers that compete for one Lease, and stops them. */
export async function withHelpers(
  count: number,
  work: (helpers: SimulatedHelper[], clock: VirtualClock, lease: SimulatedLease) => Promise<void>,
): Promise<void> {
  const [clock, lease] = [new VirtualClock("2026-11-26T00:00:00Z"), new SimulatedLease()];
  const helpers = Array.from({ length: count }, (_, index) => new SimulatedHelper(`h${String(index)}`, clock, lease));
  const runs = helpers.map(async (helper) => helper.run());
  try {
    await work(helpers, clock, lease);
  } finally {
    for (const helper of helpers) {
      helper.become("well");
      helper.stop();
    }
    await clock.advance(60 * second);
    await Promise.all(runs);
  }
}

/** The names of those that hold the Lease by their own knowledge. */
export const leaders = (helpers: readonly SimulatedHelper[]): string[] =>
  helpers.filter(({ elector }) => elector.isLeading()).map(({ name }) => name);

/** How long it takes until another helper than `before` leads, in milliseconds. */
export async function takeover(
  helpers: readonly SimulatedHelper[],
  clock: VirtualClock,
  before: string,
): Promise<number> {
  for (let waited = 0; waited < 60 * second; waited += 100) {
    if (leaders(helpers).some((name) => name !== before)) return waited;
    await clock.advance(100);
  }
  return Infinity;
}

/** The first one that holds the Lease. Fails where none does. */
export const holderOf = (helpers: readonly SimulatedHelper[]): SimulatedHelper => {
  const found = helpers.find(({ elector }) => elector.isLeading());
  assert.ok(found !== undefined, "nobody holds the lease");
  return found;
};
