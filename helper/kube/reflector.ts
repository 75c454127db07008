// Follows a collection of the Kubernetes API: lists it, watches it from there, and never stops doing so.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
import type { Clock } from "../runtime/clock.ts";
import { metadataOnly } from "./client.ts";
import { AnswerTooLargeError, KubeError, isForbidden, isTransientError } from "./errors.ts";
import type { Kube, KubeObject, KubeStream } from "./types.ts";
import { retryAfterOf } from "../runtime/retry-after.ts";
import { retryDelay, serverRetryLimit } from "../runtime/backoff.ts";

/** Takes what is followed. */
export interface Sink<T extends KubeObject> {
  /** An object is there, as it is now. It may be told twice. */
  readonly set: (object: T) => void;
  /** An object is gone. */
  readonly delete: (object: T) => void;
  /** The collection was listed whole at this resourceVersion: what was not `set` since the last time is gone. */
  readonly listed: (uids: ReadonlySet<string>, version: number) => void;
}

export interface Reflected<T extends KubeObject> {
  /** The collection with its selectors, `/api/v1/namespaces?...`. */
  readonly path: string;
  /** Whether only the objects' metadata is asked for: what a secret holds never gets here then. */
  readonly metadataOnly: boolean;
  readonly sink: Sink<T>;
  /** Called when the collection could not be read; another attempt comes after `wait` milliseconds. */
  readonly failed: (error: unknown, failures: number, wait: number) => void;
}

export interface Reflecting {
  readonly kube: Kube;
  readonly stream: KubeStream;
  readonly clock: Clock;
  readonly random: () => number;
  /** How many collections are followed: all of them wait for an API server that is unwell. */
  readonly followed: number;
}

interface List<T> {
  metadata: { resourceVersion: string; continue?: string };
  items?: T[];
}

interface WatchEvent<T> {
  type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  object: T;
}

/** How many objects one call lists, and how many bytes it takes: memory stays flat however many there are, and how large. */
const pageSize = 1_000;
const pageBytes = 4 << 20;
/** The API server sends a bookmark once a minute: a watch that is silent for longer than this, in milliseconds, is dead. */
export const silenceLimit = 90_000;
/** The collection is listed anew after this long, in milliseconds, should a watch ever have missed something. */
export const fullPassInterval = 3_600_000;
/** A watch that ended sooner than this, in milliseconds, without a word is not tried again at once. */
const shortWatch = 1_000;
/** The longest wait between attempts at what is refused, in milliseconds. */
export const maximumWatchRetry = 30_000;

const isExpired = (error: unknown): boolean => error instanceof KubeError && error.status === 410;

/** Follows a collection until the signal aborts. Never rejects: a failure is told, and another attempt made. */
export async function reflect<T extends KubeObject>(
  { path, metadataOnly: isMetadataOnly, sink, failed }: Reflected<T>,
  { kube, stream, clock, random, followed }: Reflecting,
  signal: AbortSignal,
): Promise<void> {
  const accept = (kind: string): { accept?: string } => (isMetadataOnly ? { accept: metadataOnly(kind) } : {});
  const join = path.includes("?") ? "&" : "?";
  /** Where the watch goes on; undefined when the collection has to be listed. */
  let version: string | undefined;
  let listedAt = 0;
  let failures = 0;

  const list = async (): Promise<string> => {
    const uids = new Set<string>();
    let [next, limit] = ["", pageSize];
    for (;;) {
      const page = await kube<List<T>>({
        method: "GET",
        path: `${path}${join}limit=${String(limit)}${next}`,
        signal,
        ...accept("PartialObjectMetadataList"),
        ...(limit > 1 ? { maxBytes: pageBytes } : {}),
      }).catch((error: unknown) => {
        if (!(error instanceof AnswerTooLargeError)) throw error;
        return undefined;
      });
      if (page === undefined) {
        limit = Math.ceil(limit / 10);
        continue;
      }
      for (const object of page.items ?? []) {
        uids.add(object.metadata.uid);
        sink.set(object);
      }
      const { continue: token = "", resourceVersion } = page.metadata;
      if (token === "") {
        sink.listed(uids, Number(resourceVersion));
        return resourceVersion;
      }
      next = `&continue=${encodeURIComponent(token)}`;
    }
  };

  const handle = ({ type, object }: WatchEvent<T>): void => {
    if (type === "ERROR") {
      version = undefined;
      throw new KubeError({ method: "GET", path }, (object as { code?: number }).code ?? 0, JSON.stringify(object));
    }
    if (type === "DELETED") sink.delete(object);
    else if (type !== "BOOKMARK") sink.set(object);
    version = object.metadata.resourceVersion;
    failures = 0;
  };

  /** Watches until the API server ends it. Rejects when the watch is refused, broken or silent. */
  const watch = async (): Promise<void> => {
    const silent = new AbortController();
    const since = `watch=1&allowWatchBookmarks=true&resourceVersion=${String(version)}`;
    // Different for each, so that they do not all come again at the same moment.
    const end = `timeoutSeconds=${String(Math.round(300 + random() * 300))}`;
    const lines = stream({
      method: "GET",
      path: `${path}${join}${since}&${end}`,
      signal: AbortSignal.any([signal, silent.signal]),
      ...accept("PartialObjectMetadata"),
    });
    const began = clock.now();
    const watchSilence = (): (() => void) =>
      clock.after(silenceLimit, () => silent.abort(new Error(`the watch of ${path} was silent for too long`)));
    let [cancel, heard] = [watchSilence(), false];
    try {
      for await (const line of lines) {
        cancel();
        cancel = watchSilence();
        heard = true;
        handle(JSON.parse(line) as WatchEvent<T>);
      }
    } finally {
      cancel();
    }
    if (!heard && clock.now() - began < shortWatch)
      throw new Error(`the API server closed the watch of ${path} at once`);
  };

  /** What has to be done before the next attempt; gives the time to wait for it. */
  const recover = (error: unknown): number => {
    failures++;
    // What the version stands for is forgotten, or may not be seen: everything is listed anew.
    if (isExpired(error) || isForbidden(error)) version = undefined;
    // To be too late once is no fault, and no loop.
    if (isExpired(error) && failures === 1) return 0;
    const maximum = isTransientError(error)
      ? Math.min(maximumWatchRetry, serverRetryLimit(followed))
      : maximumWatchRetry;
    return Math.max(retryAfterOf(error), retryDelay(failures, random(), maximum));
  };

  const isOver = (): boolean => signal.aborted;
  while (!isOver()) {
    try {
      if (version === undefined || clock.now() - listedAt >= fullPassInterval) {
        version = await list();
        listedAt = clock.now();
      }
      await watch();
      failures = 0;
    } catch (error) {
      if (isOver()) return;
      const wait = recover(error);
      failed(error, failures, wait);
      await clock.sleep(wait, signal);
    }
  }
}
