// Reads and writes the helpers' Lease, and remembers what it last said.
import type { HelperConfig } from "../config/helper-config.ts";
import { KubeError, isConflict, undefinedIfNotFound } from "../kube/errors.ts";
import { reflect } from "../kube/reflector.ts";
import type { Kube, KubeObject, KubeStream } from "../kube/types.ts";
import { shouldLog } from "../runtime/backoff.ts";
import { withTimeout, type Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/logger.ts";
import { errorMessage, formatSeconds } from "../shared/messages.ts";
import {
  leaseCollection,
  leaseObject,
  leasePath,
  leaseTimes,
  microTime,
  readLease,
  unknownHolder,
  unknownLease,
  type LeaseRecord,
  type LeaseVersion,
} from "./lease.ts";

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

/** A request for the Lease that takes longer, in milliseconds, is tried again. */
const requestTimeout = leaseTimes.renewDeadline / 4;

/** A write is not tried again at once after so many in a row that somebody else was faster than. */
const maxConflicts = 5;

/** Whether the API server refused a write without a version because the object exists. */
const isOfWhatExists = (error: unknown): boolean => error instanceof KubeError && error.status === 422;

/** The Lease as this helper knows it. */
export class LeaseClient {
  readonly #config: HelperConfig;
  readonly #dependencies: ElectionDependencies;
  readonly #listeners = new Set<() => void>();
  #isListed = false;
  #record: LeaseRecord | undefined;
  /** Undefined while it does not exist. */
  #version: LeaseVersion | undefined;
  #latestVersion = 0;
  #renewalSeenAt = 0;
  /** How many writes in a row somebody else was faster than. */
  #conflicts = 0;

  constructor(config: HelperConfig, dependencies: ElectionDependencies) {
    [this.#config, this.#dependencies] = [config, dependencies];
  }

  /** Whether it is known what the Lease says, or that there is none. */
  get isKnown(): boolean {
    return this.#isListed;
  }

  /** Whether it existed when it was last seen. */
  get exists(): boolean {
    return this.#version !== undefined;
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
      log(
        failures > 1 && shouldLog(failures) ? "error" : "debug",
        `the lease cannot be read: ${errorMessage(error)}; trying again in ${formatSeconds(wait)}`,
      );
    const collection = { path: leaseCollection(this.#config), metadataOnly: false, sink, failed };
    await reflect(collection, { kube, stream, clock, random, collectionCount: 1 }, signal);
  }

  /**
   * Replaces what was last seen. Resolves to false where somebody else wrote in between, after it has read that. Rejects with
   * KubeError or the network's error, also where somebody else is faster again and again: so nobody who tries again does so
   * without a pause.
   */
  async write(record: LeaseRecord, signal: AbortSignal): Promise<boolean> {
    const version = this.#version;
    const body = leaseObject(this.#config, record, this.#dependencies.owners(), version);
    const path = `${leasePath(this.#config)}?fieldManager=ecr-helper`;
    try {
      this.#observe(await this.#request({ method: "PUT", path, body }, signal));
      this.#conflicts = 0;
      return true;
    } catch (error) {
      const isLate = isConflict(error) || (version === undefined && isOfWhatExists(error));
      // Another one may have created it: it may be gone again before this one has seen it.
      if (isLate || !(error instanceof KubeError)) this.#record ??= unknownLease;
      if (!isLate || ++this.#conflicts % maxConflicts === 0) throw error;
      const before = this.#latestVersion;
      const found = await undefinedIfNotFound(
        this.#request<KubeObject>({ method: "GET", path: leasePath(this.#config) }, signal),
      );
      if (found === undefined) this.#observeAbsence(String(before));
      else this.#observeRead(found, before);
      return false;
    }
  }

  /**
   * Puts back what a Lease said before somebody deleted it, but as held by nobody that is known, and valid as after a renewal: while
   * this helper did not see it, another one may have taken it, and it may have been deleted again. Rejects as `write` does.
   */
  async restore(record: LeaseRecord, signal: AbortSignal): Promise<void> {
    const { holder, cleaner } = record;
    const now = microTime(this.#dependencies.clock.now());
    const restored = { ...record, holder: unknownHolder, candidate: "", written: "", renewedAt: now };
    await this.write({ ...restored, cleaner: holder === cleaner ? "" : cleaner }, signal);
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
    const { uid, resourceVersion } = lease.metadata;
    // The watch may be behind the answer to a write.
    if (Number(resourceVersion) < this.#latestVersion) return;
    const next = readLease(lease);
    const before = this.#record;
    if (next.holder !== before?.holder || next.renewedAt !== before.renewedAt)
      this.#renewalSeenAt = this.#dependencies.clock.uptime();
    [this.#record, this.#version, this.#latestVersion] = [next, { uid, resourceVersion }, Number(resourceVersion)];
    this.notify();
  }

  /** Versions go back when somebody restores etcd from a backup. `before` is the latest one when the read was sent. */
  #observeRead(lease: KubeObject, before: number): void {
    if (Number(lease.metadata.resourceVersion) < before) this.#latestVersion = 0;
    this.#observe(lease);
  }

  /**
   * Somebody deleted it. Its holder goes on, and may have renewed it until now: what it last said is valid for as long as after a
   * renewal.
   */
  #observeAbsence(version: string): void {
    if (Number(version) < this.#latestVersion) return;
    if (this.#version !== undefined) this.#renewalSeenAt = this.#dependencies.clock.uptime();
    [this.#version, this.#latestVersion] = [undefined, Number(version)];
    this.notify();
  }
}
