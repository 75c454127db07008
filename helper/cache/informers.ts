// All watches of the helper, and what is known by them.
import { isForbidden } from "../kube/errors.ts";
import type { Log } from "../runtime/logger.ts";
import { formatSeconds, errorMessage } from "../shared/messages.ts";
import type { WatchTarget, ClusterCache } from "./cluster-cache.ts";
import { reflect, type Reflecting } from "../kube/reflector.ts";
import { shouldLog } from "../runtime/backoff.ts";

export interface InformerDependencies extends Omit<Reflecting, "followed"> {
  readonly log: Log;
  /** A collection was listed whole: everything in a namespace, or in all when undefined, can be compared now. */
  readonly listed: (namespace: string | undefined) => void;
  readonly failed: (path: string) => void;
}

/** What is retried without a word so often, in a row: API servers restart, and their watches end with them. */
const quietFailureCount = 3;

const leastSynced = (all: readonly SyncState[]): SyncState =>
  (["unreadable", "unknown"] as const).find((one) => all.includes(one)) ?? "known";

export class Informers {
  readonly #syncStates: Map<WatchTarget, SyncState>;
  /** By the namespace they cover; those of all namespaces under undefined. */
  readonly #targets = new Map<string | undefined, WatchTarget[]>();
  /** The worst of them, in the same order: it is asked for at every event. */
  readonly #leastSynced = new Map<string | undefined, SyncState>();

  constructor(observed: ClusterCache) {
    this.#syncStates = new Map(observed.watchTargets.map((one) => [one, "unknown"]));
    for (const one of observed.watchTargets) {
      this.#targets.set(one.namespace, [...(this.#targets.get(one.namespace) ?? []), one]);
      this.#leastSynced.set(one.namespace, "unknown");
    }
  }

  /** What is known of a namespace, by the collections that cover it. */
  syncStateOf(namespace: string): SyncState {
    const [everywhere, there] = [
      this.#leastSynced.get(undefined) ?? "known",
      this.#leastSynced.get(namespace) ?? "known",
    ];
    return leastSynced([everywhere, there]);
  }

  #setState(following: WatchTarget, knowledge: SyncState): void {
    this.#syncStates.set(following, knowledge);
    const { namespace } = following;
    const alike = (this.#targets.get(namespace) ?? []).map((one) => this.#syncStates.get(one) ?? "unknown");
    this.#leastSynced.set(namespace, leastSynced(alike));
  }

  /** Follows everything until the signal aborts. Never rejects. */
  async run({ log, listed, failed, ...reflecting }: InformerDependencies, signal: AbortSignal): Promise<void> {
    const follow = async (following: WatchTarget): Promise<void> => {
      const { namespace, path, metadataOnly } = following;
      const sink = {
        ...following.sink,
        listed: (uids: ReadonlySet<string>, version: number) => {
          following.sink.listed(uids, version);
          this.#setState(following, "known");
          listed(namespace);
        },
      };
      const onFailure = (error: unknown, failures: number, wait: number): void => {
        // To be told once that a version is too old is the API's way to ask for a list.
        if (wait > 0) failed(path);
        const [reason, next] = [errorMessage(error), `trying again in ${formatSeconds(wait)}`];
        if (isForbidden(error) && namespace !== undefined) {
          const first = this.syncStateOf(namespace) !== "unreadable";
          this.#setState(following, "unreadable");
          // With a namespace its Role goes too, and comes back by the stack only.
          const remedy = "If the namespace was deleted, `pulumi up --refresh` makes the helper's Role in it again";
          log(first ? "error" : "debug", `namespace ${namespace} cannot be read: ${reason}. ${remedy}; ${next}`, {
            namespace,
          });
          listed(namespace);
        } else {
          const isTold = isForbidden(error) || (failures > quietFailureCount && shouldLog(failures));
          log(isTold ? "error" : "debug", `${reason}; ${next}`);
        }
      };
      const followed = this.#syncStates.size;
      await reflect({ path, metadataOnly, sink, failed: onFailure }, { ...reflecting, followed }, signal);
    };
    await Promise.all([...this.#syncStates.keys()].map(follow));
  }
}

/** Whether all is known about a namespace that a decision needs, not yet, or it cannot be read now. */

export type SyncState = "known" | "unknown" | "unreadable";
