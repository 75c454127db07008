// Reads and writes the helpers' Lease, and remembers what it last said.
import type { HelperConfig } from "../config/helper-config.ts";
import { KubeError, isConflict, undefinedIfNotFound } from "../kube/errors.ts";
import { reflect } from "../kube/reflector.ts";
import type { Kube, KubeObject, KubeStream } from "../kube/types.ts";
import { withTimeout, type Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/logger.ts";
import { errorMessage, formatSeconds } from "../shared/messages.ts";
import { leaseCollection, leaseObject, leasePath, leaseTimes, readLease, type LeaseRecord } from "./lease.ts";

/** What the election needs. */
export interface ElectionDependencies {
  /** Not the client that writes for the holder only: its connections are cut when the Lease is lost. */
  readonly kube: Kube;
  readonly stream: KubeStream;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  /** References to the stack's owners that exist. Each renewal writes them, so that the Lease goes with the stack. */
  readonly owners: () => readonly object[];
}

/** A request for the Lease that takes longer is tried again, on another connection. */
const requestTimeout = leaseTimes.renewDeadline / 4;

/** The Lease as this helper knows it. */
export class LeaseClient {
  readonly #config: HelperConfig;
  readonly #dependencies: ElectionDependencies;
  readonly #listeners = new Set<() => void>();
  #isListed = false;
  #record: LeaseRecord | undefined;
  /** Undefined while it does not exist. */
  #resourceVersion: string | undefined;
  #latestVersion = 0;
  #renewalSeenAt = 0;

  constructor(config: HelperConfig, dependencies: ElectionDependencies) {
    [this.#config, this.#dependencies] = [config, dependencies];
  }

  /** Whether it is known what the Lease says, or that there is none. */
  get isKnown(): boolean {
    return this.#isListed;
  }

  /** What it last said; undefined if this helper has never seen one. */
  get record(): LeaseRecord | undefined {
    return this.#record;
  }

  /**
   * How long ago the last renewal was seen, in milliseconds. Only this machine's own clock counts, and only forwards: the clock
   * of another one may be wrong.
   */
  sinceRenewal(): number {
    return this.#dependencies.clock.uptime() - this.#renewalSeenAt;
  }

  /** Keeps this in step with the API server until the signal aborts. Never rejects. */
  async follow(signal: AbortSignal): Promise<void> {
    const { kube, stream, clock, random, log } = this.#dependencies;
    const sink = {
      set: (lease: KubeObject) => this.#observe(lease),
      delete: (lease: KubeObject) => this.#observeAbsence(lease.metadata.resourceVersion),
      listed: (uids: ReadonlySet<string>, version: number) => {
        if (uids.size === 0) this.#observeAbsence(String(version));
        this.#isListed = true;
        this.notify();
      },
    };
    const failed = (error: unknown, failures: number, wait: number): void =>
      log(failures === 1 ? "debug" : "error", `${errorMessage(error)}; trying again in ${formatSeconds(wait)}`);
    const collection = { path: leaseCollection(this.#config), metadataOnly: false, sink, failed };
    await reflect(collection, { kube, stream, clock, random, collectionCount: 1 }, signal);
  }

  /**
   * Replaces what was last seen. Resolves to false where somebody else wrote in between, after it has read that. Rejects with
   * KubeError or the network's error.
   */
  async write(record: LeaseRecord, signal: AbortSignal): Promise<boolean> {
    const body = leaseObject(this.#config, record, this.#dependencies.owners(), this.#resourceVersion);
    const path = `${leasePath(this.#config)}?fieldManager=ecr-helper`;
    try {
      this.#observe(await this.#request({ method: "PUT", path, body }, signal));
      return true;
    } catch (error) {
      // 422 is the answer to a write without a resourceVersion, 404 to one with a resourceVersion of what was deleted.
      if (!isConflict(error) && !(error instanceof KubeError && [404, 422].includes(error.status))) throw error;
      const found = await undefinedIfNotFound(
        this.#request<KubeObject>({ method: "GET", path: leasePath(this.#config) }, signal),
      );
      if (found === undefined) this.#observeAbsence(String(this.#latestVersion));
      else this.#observe(found);
      return false;
    }
  }

  /** Calls `listener` after each change, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Calls all listeners. */
  notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  async #request<T extends KubeObject>(request: Parameters<Kube>[0], signal: AbortSignal): Promise<T> {
    const { kube, clock } = this.#dependencies;
    return withTimeout(requestTimeout, clock, signal, async (limited) => kube<T>({ ...request, signal: limited }));
  }

  #observe(lease: KubeObject): void {
    const { resourceVersion } = lease.metadata;
    // The watch may be behind the answer to a write.
    if (Number(resourceVersion) < this.#latestVersion) return;
    const next = readLease(lease);
    const before = this.#record;
    if (next.holder !== before?.holder || next.renewedAt !== before.renewedAt)
      this.#renewalSeenAt = this.#dependencies.clock.uptime();
    [this.#record, this.#resourceVersion, this.#latestVersion] = [next, resourceVersion, Number(resourceVersion)];
    this.notify();
  }

  /** Somebody deleted it. Its holder goes on, and what it last said stays valid for as long as it would have been. */
  #observeAbsence(version: string): void {
    if (Number(version) < this.#latestVersion) return;
    [this.#resourceVersion, this.#latestVersion] = [undefined, Number(version)];
    this.notify();
  }
}
