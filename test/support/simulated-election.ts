// Helpers that compete for a Lease which exists in memory, on a virtual clock: each may be paused, cut off, or have a wrong clock.
import { setImmediate as turn } from "node:timers/promises";
import { readConfig } from "../../helper/config/helper-config.ts";
import { Elector, type Candidacy } from "../../helper/election/elector.ts";
import type { Term } from "../../helper/election/term.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import type { Kube, KubeRequest } from "../../helper/kube/types.ts";
import type { Clock } from "../../helper/runtime/clock.ts";
import { helperEnvironment } from "./helper-environment.ts";
import { VirtualClock } from "./virtual-clock.ts";

interface StoredLease {
  metadata: { name: string; uid: string; resourceVersion: string; annotations?: Record<string, string> };
  spec: { holderIdentity: string };
}

const refusal = (request: KubeRequest, status: number): KubeError => new KubeError(request, status, '{"reason":"x"}');

/** The API server as far as it serves one Lease: with optimistic locking, and creation by PUT, as the real one. */
export class SimulatedLease {
  stored: StoredLease | undefined;
  #version = 1;
  readonly #watchers = new Set<() => void>();

  /** Deletes the Lease, as an administrator may. */
  delete(): void {
    this.stored = undefined;
    this.#changed();
  }

  /** Answers a list, a read or a write of the Lease. Throws a KubeError. */
  serve(request: KubeRequest): unknown {
    const { method, path, body } = request;
    if (method === "PUT") return this.#write(request, body as StoredLease);
    if (path.includes("fieldSelector"))
      return { metadata: { resourceVersion: String(this.#version) }, items: this.stored ? [this.stored] : [] };
    if (this.stored === undefined) throw refusal(request, 404);
    return this.stored;
  }

  /** The lines of a watch: each state from now on, until the signal aborts. */
  async *watch(signal: AbortSignal): AsyncGenerator<string, void> {
    let seen = this.stored;
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      if (this.stored === seen) await this.#nextChange(signal);
      if (isOver() || this.stored === seen) continue;
      const type = this.stored === undefined ? "DELETED" : "MODIFIED";
      const gone = { ...seen, metadata: { ...seen?.metadata, resourceVersion: String(this.#version) } };
      yield JSON.stringify({ type, object: this.stored ?? gone });
      seen = this.stored;
    }
  }

  async #nextChange(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#watchers.add(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #write(request: KubeRequest, lease: StoredLease): StoredLease {
    const { resourceVersion } = lease.metadata;
    if (this.stored === undefined && (resourceVersion as string | undefined) !== undefined) throw refusal(request, 404);
    if (this.stored !== undefined && (resourceVersion as string | undefined) === undefined) throw refusal(request, 422);
    if (this.stored !== undefined && this.stored.metadata.resourceVersion !== resourceVersion)
      throw refusal(request, 409);
    this.#changed();
    const metadata = { ...lease.metadata, uid: "u", resourceVersion: String(this.#version) };
    return (this.stored = { ...(JSON.parse(JSON.stringify(lease)) as StoredLease), metadata });
  }

  #changed(): void {
    this.#version++;
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    // The state is changed by the time that they look.
    void turn().then(() => {
      for (const wake of watchers) wake();
    });
  }
}

/** What may be wrong with one helper. */
export type Condition = "well" | "paused" | "cut off";

/** One helper that competes until `stop`. */
export class SimulatedHelper {
  readonly name: string;
  readonly elector: Elector;
  readonly log: string[] = [];
  candidacy: Candidacy = { isPrepared: () => true, asks: () => false, standsBy: () => undefined };
  term: Term | undefined;
  #skew = 0;
  #condition: Condition = "well";
  #resume: (() => void)[] = [];
  readonly #clock: VirtualClock;
  readonly #lease: SimulatedLease;
  readonly #stop = new AbortController();

  constructor(name: string, clock: VirtualClock, lease: SimulatedLease, template = "t1") {
    [this.name, this.#clock, this.#lease] = [name, clock, lease];
    const config = readConfig({ ...helperEnvironment, ECR_HELPER_POD: name, ECR_HELPER_TEMPLATE: template });
    const own: Clock = {
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
      clock: own,
      random: () => 0.5,
      owners: () => [],
      log: (_, message) => void this.log.push(message),
    });
  }

  /** Follows the Lease, and works whenever it has it, until `stop`. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    const followed = this.elector.follow(signal);
    const candidacy: Candidacy = {
      isPrepared: () => this.candidacy.isPrepared(),
      asks: () => this.candidacy.asks(),
      standsBy: () => this.candidacy.standsBy(),
    };
    while (!signal.aborted) {
      this.term = await this.elector.acquire(candidacy, signal);
      if (this.term === undefined) break;
      const either = AbortSignal.any([this.term.lost, this.term.wanted, signal]);
      if (!either.aborted) await new Promise((resolve) => either.addEventListener("abort", resolve, { once: true }));
      await this.term.end();
    }
    await followed;
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
    await this.#running();
    if (this.#condition === "cut off") await this.#aborted(request.signal);
    return answer as T;
  };

  async *#stream(signal: AbortSignal): AsyncGenerator<string, void> {
    for await (const line of this.#lease.watch(signal)) {
      await this.#running();
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
