// Runs all watches of the helper, and knows which namespaces they have listed so far.
import { isForbidden } from "../kube/errors.ts";
import { reflect, type ReflectorDependencies } from "../kube/reflector.ts";
import { shouldLog } from "../runtime/backoff.ts";
import type { Log } from "../runtime/logger.ts";
import { errorMessage, formatSeconds } from "../shared/messages.ts";
import type { ClusterCache } from "./cluster-cache.ts";
import type { WatchTarget } from "./watch-targets.ts";

/** Whether the cache has all that a decision about a namespace needs, does not have it yet, or cannot be filled now. */
export type SyncState = "known" | "unknown" | "unreadable";

/** What the watches need, and whom they call. */
export interface InformerDependencies extends Omit<ReflectorDependencies, "collectionCount"> {
  readonly log: Log;
  /** Called when a collection was listed completely, or turned out to be unreadable, with its namespace; undefined for all. */
  readonly listed: (namespace: string | undefined) => void;
  /** Called with the path of a collection that could not be listed or watched. */
  readonly failed: (path: string) => void;
}

/** So many failures in a row are not logged: when an API server restarts, all of its watches end. */
const quietFailureCount = 3;

const leastSynced = (states: readonly SyncState[]): SyncState =>
  (["unreadable", "unknown"] as const).find((state) => states.includes(state)) ?? "known";

/** The watches of all collections that fill the cache. */
export class Informers {
  readonly #syncStates: Map<WatchTarget, SyncState>;
  /** By the namespace that they cover; those that cover all namespaces are under undefined. */
  readonly #targets = new Map<string | undefined, WatchTarget[]>();
  /** The least synced of them, under the same keys: it is looked up at every event. */
  readonly #leastSynced = new Map<string | undefined, SyncState>();

  /** Every collection starts as unknown. */
  constructor(cache: ClusterCache) {
    this.#syncStates = new Map(cache.watchTargets.map((target) => [target, "unknown"]));
    for (const target of cache.watchTargets) {
      this.#targets.set(target.namespace, [...(this.#targets.get(target.namespace) ?? []), target]);
      this.#leastSynced.set(target.namespace, "unknown");
    }
  }

  /** The state of the least synced collection that covers a namespace. */
  syncStateOf(namespace: string): SyncState {
    return leastSynced([this.#leastSynced.get(undefined) ?? "known", this.#leastSynced.get(namespace) ?? "known"]);
  }

  /** How many collections were not listed yet. One that cannot be read does not count. */
  get unlisted(): number {
    return [...this.#syncStates.values()].filter((state) => state === "unknown").length;
  }

  /** Watches everything until the signal aborts. Never rejects. */
  async run({ log, listed, failed, ...reflecting }: InformerDependencies, signal: AbortSignal): Promise<void> {
    const collectionCount = this.#syncStates.size;
    const follow = async (target: WatchTarget): Promise<void> => {
      const { namespace, path, metadataOnly } = target;
      const sink = {
        ...target.sink,
        listed: (uids: ReadonlySet<string>, version: number) => {
          target.sink.listed(uids, version);
          this.#setState(target, "known");
          listed(namespace);
        },
      };
      const onFailure = (error: unknown, failures: number, wait: number): void => {
        // No wait means that the resourceVersion was too old once: that is how the API asks for a new list, and no failure.
        if (wait > 0) failed(path);
        if (isForbidden(error) && failures > quietFailureCount && target.refused !== undefined) {
          target.refused();
          this.#setState(target, "known");
          listed(namespace);
        }
        if (!isForbidden(error) || namespace === undefined) return void logFailure(log, error, failures, wait);
        this.#setUnreadable(target, namespace, log, errorMessage(error), wait);
        listed(namespace);
      };
      await reflect({ path, metadataOnly, sink, failed: onFailure }, { ...reflecting, collectionCount }, signal);
    };
    await Promise.all([...this.#syncStates.keys()].map(follow));
  }

  #setState(target: WatchTarget, state: SyncState): void {
    this.#syncStates.set(target, state);
    const states = (this.#targets.get(target.namespace) ?? []).map((one) => this.#syncStates.get(one) ?? "unknown");
    this.#leastSynced.set(target.namespace, leastSynced(states));
  }

  #setUnreadable(target: WatchTarget, namespace: string, log: Log, reason: string, wait: number): void {
    const isFirst = this.syncStateOf(namespace) !== "unreadable";
    this.#setState(target, "unreadable");
    // A Role is deleted with its namespace, and only the stack creates it again.
    const remedy = "If the namespace was deleted, `pulumi up --refresh` makes the helper's Role in it again";
    const next = `trying again in ${formatSeconds(wait)}`;
    log(isFirst ? "error" : "debug", `namespace ${namespace} cannot be read: ${reason}. ${remedy}; ${next}`, {
      namespace,
    });
  }
}

function logFailure(log: Log, error: unknown, failures: number, wait: number): void {
  const isLoud = isForbidden(error) || (failures > quietFailureCount && shouldLog(failures));
  log(isLoud ? "error" : "debug", `${errorMessage(error)}; trying again in ${formatSeconds(wait)}`);
}
