// Keeps a sink in step with a collection of the Kubernetes API: lists it, watches it from there, and retries forever.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
import type { Clock } from "../runtime/clock.ts";
import { acceptMetadataOnly } from "./client.ts";
import { KubeError, isForbidden, isTransientError } from "./errors.ts";
import { listPages, withQuery } from "./list-pages.ts";
import type { Kube, KubeObject, KubeStream } from "./types.ts";
import { retryAfterOf } from "../runtime/retry-after.ts";
import { retryDelay, serverRetryLimit } from "../runtime/backoff.ts";

/** Receives the objects of a collection. */
export interface Sink<T extends KubeObject> {
  /** An object exists in this state. Called again for a state that a list repeats. */
  readonly set: (object: T) => void;
  /** Whether an object that was set is kept, so that `listed` needs its uid; every object is by default. */
  readonly keeps?: (object: T) => boolean;
  /** An object was deleted. */
  readonly delete: (object: T) => void;
  /** The whole collection was listed at this resourceVersion: a kept object whose uid is missing was deleted. */
  readonly listed: (uids: ReadonlySet<string>, version: number) => void;
}

/** A collection to follow. */
export interface ReflectedCollection<T extends KubeObject> {
  /** The collection's path with its selectors, `/api/v1/namespaces?...`. */
  readonly path: string;
  /** Whether to ask for PartialObjectMetadata only, so that the content of a secret never gets here. */
  readonly metadataOnly: boolean;
  readonly sink: Sink<T>;
  /** Called when a list or watch failed, with the failures in a row and the milliseconds until the next attempt. */
  readonly failed: (error: unknown, failures: number, wait: number) => void;
}

/** What the reflectors of all collections share. */
export interface ReflectorDependencies {
  readonly kube: Kube;
  readonly stream: KubeStream;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** How many collections are followed: all of them retry when the API server is unavailable. */
  readonly collectionCount: number;
}

interface WatchEvent<T> {
  type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  object: T;
}

/** The API server sends a bookmark once a minute: a watch that is silent for longer than this, in milliseconds, is dead. */
export const silenceLimit = 90_000;
/** The collection is listed again after this long, in milliseconds, in case a watch has missed something. */
export const fullPassInterval = 3_600_000;
/** A watch that ends sooner than this, in milliseconds, and without a line counts as a failure. */
const shortWatch = 1_000;
/** The longest wait between attempts, in milliseconds, where the API server refuses them. */
const maximumWatchRetry = 30_000;

/** Follows a collection until the signal aborts. Never rejects: it reports a failure to `failed` and tries again. */
export async function reflect<T extends KubeObject>(
  collection: ReflectedCollection<T>,
  dependencies: ReflectorDependencies,
  signal: AbortSignal,
): Promise<void> {
  await new Reflector(collection, dependencies, signal).run();
}

class Reflector<T extends KubeObject> {
  readonly #collection: ReflectedCollection<T>;
  readonly #dependencies: ReflectorDependencies;
  readonly #signal: AbortSignal;
  /** The resourceVersion that the next watch starts from; undefined when the collection has to be listed. */
  #version: string | undefined;
  #listedAt = 0;
  /** In a row. */
  #failures = 0;
  /** Whether the last failure was an expired version. */
  #hasExpired = false;

  constructor(collection: ReflectedCollection<T>, dependencies: ReflectorDependencies, signal: AbortSignal) {
    [this.#collection, this.#dependencies, this.#signal] = [collection, dependencies, signal];
  }

  async run(): Promise<void> {
    const { clock } = this.#dependencies;
    const isStopped = (): boolean => this.#signal.aborted;
    while (!isStopped()) {
      try {
        await this.#listIfDue();
        await this.#watch();
        this.#failures = 0;
      } catch (error) {
        if (isStopped()) return;
        const wait = this.#backOff(error);
        this.#collection.failed(error, this.#failures, wait);
        await clock.sleep(wait, this.#signal);
      }
    }
  }

  async #listIfDue(): Promise<void> {
    const { clock } = this.#dependencies;
    if (this.#version !== undefined && clock.uptime() - this.#listedAt < fullPassInterval) return;
    this.#version = await this.#list();
    this.#listedAt = clock.uptime();
  }

  /** Passes the whole collection to the sink, and resolves to its resourceVersion. */
  async #list(): Promise<string> {
    const { path, sink } = this.#collection;
    const uids = new Set<string>();
    let version = "";
    const request = { path, signal: this.#signal, ...this.#accept("PartialObjectMetadataList") };
    for await (const { items, metadata } of listPages<T>(this.#dependencies.kube, request)) {
      for (const object of items ?? []) {
        sink.set(object);
        if (sink.keeps?.(object) !== false) uids.add(object.metadata.uid);
      }
      version = metadata.resourceVersion;
    }
    sink.listed(uids, Number(version));
    return version;
  }

  /** Watches until the API server ends the watch. Rejects when the watch is refused, broken or silent. */
  async #watch(): Promise<void> {
    const { clock } = this.#dependencies;
    const { path } = this.#collection;
    const silence = new AbortController();
    const awaitLine = (): (() => void) =>
      clock.after(silenceLimit, () => silence.abort(new Error(`the watch of ${path} was silent for too long`)));
    const startedAt = clock.uptime();
    let [cancel, isEmpty] = [awaitLine(), true];
    try {
      for await (const line of this.#openWatch(silence.signal)) {
        cancel();
        cancel = awaitLine();
        isEmpty = false;
        this.#handle(JSON.parse(line) as WatchEvent<T>);
      }
    } finally {
      cancel();
    }
    if (isEmpty && clock.uptime() - startedAt < shortWatch)
      throw new Error(`the API server closed the watch of ${path} at once`);
  }

  #openWatch(silence: AbortSignal): AsyncGenerator<string, void> {
    const { stream, random } = this.#dependencies;
    // Random, so that the watches do not all end, and start again, at the same moment.
    const seconds = String(Math.round(300 + random() * 300));
    const since = `watch=1&allowWatchBookmarks=true&resourceVersion=${String(this.#version)}`;
    return stream({
      method: "GET",
      path: withQuery(this.#collection.path, `${since}&timeoutSeconds=${seconds}`),
      signal: AbortSignal.any([this.#signal, silence]),
      ...this.#accept("PartialObjectMetadata"),
    });
  }

  #handle({ type, object }: WatchEvent<T>): void {
    const { path, sink } = this.#collection;
    if (type === "ERROR") {
      this.#version = undefined;
      throw new KubeError({ method: "GET", path }, (object as { code?: number }).code ?? 0, JSON.stringify(object));
    }
    if (type === "DELETED") sink.delete(object);
    else if (type !== "BOOKMARK") sink.set(object);
    this.#version = object.metadata.resourceVersion;
    this.#failures = 0;
  }

  /** Counts a failure and decides whether the collection has to be listed again. Returns the milliseconds to wait. */
  #backOff(error: unknown): number {
    const { random, collectionCount } = this.#dependencies;
    this.#failures++;
    // An expired version cannot be watched from, and what changed while access was forbidden is unknown.
    if (isExpired(error) || isForbidden(error)) this.#version = undefined;
    // Versions expire in normal operation, and while the API server cannot be reached. A second time in a row would be a loop.
    const isRepeated = this.#hasExpired && this.#failures > 1;
    this.#hasExpired = isExpired(error);
    if (this.#hasExpired && !isRepeated) return 0;
    const maximum = isTransientError(error)
      ? Math.min(maximumWatchRetry, serverRetryLimit(collectionCount))
      : maximumWatchRetry;
    return Math.max(retryAfterOf(error), retryDelay(this.#failures, random(), maximum));
  }

  #accept(kind: string): { accept?: string } {
    return this.#collection.metadataOnly ? { accept: acceptMetadataOnly(kind) } : {};
  }
}

/** Whether a resourceVersion is too old for the API server. */
const isExpired = (error: unknown): boolean => error instanceof KubeError && error.status === 410;
