// All watches of the helper, and what is known by them.
import { isForbidden } from "../kube/errors.ts";
import type { Log } from "../runtime/logger.ts";
import { inSeconds, reasonOf } from "../shared/messages.ts";
import type { Following, Observed } from "./cluster-cache.ts";
import { reflect, type Reflecting } from "../kube/reflector.ts";
import { isWorthALine } from "../runtime/backoff.ts";

export interface WatchEffects extends Omit<Reflecting, "followed"> {
  readonly log: Log;
  /** A collection was listed whole: everything in a namespace, or in all when undefined, can be compared now. */
  readonly listed: (namespace: string | undefined) => void;
  readonly failed: (path: string) => void;
}

/** What is retried without a word so often, in a row: API servers restart, and their watches end with them. */
const quietFailures = 3;

const worst = (all: readonly Knowledge[]): Knowledge =>
  (["unreadable", "unknown"] as const).find((one) => all.includes(one)) ?? "known";

export class Watches {
  readonly #knowledge: Map<Following, Knowledge>;
  /** By the namespace they cover; those of all namespaces under undefined. */
  readonly #followings = new Map<string | undefined, Following[]>();
  /** The worst of them, in the same order: it is asked for at every event. */
  readonly #known = new Map<string | undefined, Knowledge>();

  constructor(observed: Observed) {
    this.#knowledge = new Map(observed.followings.map((one) => [one, "unknown"]));
    for (const one of observed.followings) {
      this.#followings.set(one.namespace, [...(this.#followings.get(one.namespace) ?? []), one]);
      this.#known.set(one.namespace, "unknown");
    }
  }

  /** What is known of a namespace, by the collections that cover it. */
  knowledgeOf(namespace: string): Knowledge {
    const [everywhere, there] = [this.#known.get(undefined) ?? "known", this.#known.get(namespace) ?? "known"];
    return worst([everywhere, there]);
  }

  #learn(following: Following, knowledge: Knowledge): void {
    this.#knowledge.set(following, knowledge);
    const { namespace } = following;
    const alike = (this.#followings.get(namespace) ?? []).map((one) => this.#knowledge.get(one) ?? "unknown");
    this.#known.set(namespace, worst(alike));
  }

  /** Follows everything until the signal aborts. Never rejects. */
  async run({ log, listed, failed, ...reflecting }: WatchEffects, signal: AbortSignal): Promise<void> {
    const follow = async (following: Following): Promise<void> => {
      const { namespace, path, metadataOnly } = following;
      const sink = {
        ...following.sink,
        listed: (uids: ReadonlySet<string>, version: number) => {
          following.sink.listed(uids, version);
          this.#learn(following, "known");
          listed(namespace);
        },
      };
      const onFailure = (error: unknown, failures: number, wait: number): void => {
        // To be told once that a version is too old is the API's way to ask for a list.
        if (wait > 0) failed(path);
        const [reason, next] = [reasonOf(error), `trying again in ${inSeconds(wait)}`];
        if (isForbidden(error) && namespace !== undefined) {
          const first = this.knowledgeOf(namespace) !== "unreadable";
          this.#learn(following, "unreadable");
          // With a namespace its Role goes too, and comes back by the stack only.
          const remedy = "If the namespace was deleted, `pulumi up --refresh` makes the helper's Role in it again";
          log(first ? "error" : "debug", `namespace ${namespace} cannot be read: ${reason}. ${remedy}; ${next}`, {
            namespace,
          });
          listed(namespace);
        } else {
          const isTold = isForbidden(error) || (failures > quietFailures && isWorthALine(failures));
          log(isTold ? "error" : "debug", `${reason}; ${next}`);
        }
      };
      const followed = this.#knowledge.size;
      await reflect({ path, metadataOnly, sink, failed: onFailure }, { ...reflecting, followed }, signal);
    };
    await Promise.all([...this.#knowledge.keys()].map(follow));
  }
}

/** Whether all is known about a namespace that a decision needs, not yet, or it cannot be read now. */

export type Knowledge = "known" | "unknown" | "unreadable";
