// When a helper removes what the next one does not keep: at its end, or before the next one is ready, once that has written everything.
import type { ClusterCache } from "../cache/cluster-cache.ts";
import { isSuccessorReady, keptHash } from "../cache/successor.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import type { Term } from "../election/term.ts";
import type { KubeClient } from "../kube/types.ts";
import { cleanupTimeout, planCleanUp, type HasWritten, type PlanDependencies } from "./shutdown.ts";
import type { Writer } from "./writer.ts";

/** What the cleaner acts through. */
export interface CleanerDependencies extends PlanDependencies {
  readonly writes: KubeClient;
  /** Whether this helper was ever ready. */
  readonly wasReady: () => boolean;
}

/** Cuts the connections for writes when the term is lost. The returned controller then aborts, or is aborted to end the writes. */
export function writeUntilLost(writes: KubeClient, term: Term): AbortController {
  const writing = new AbortController();
  const cut = (): void => {
    writing.abort(term.lost.reason);
    writes.reset();
  };
  term.lost.addEventListener("abort", cut, { once: true });
  if (term.lost.aborted) cut();
  return writing;
}

/** Cleans up for the next helper. */
export class Cleaner {
  readonly #config: HelperConfig;
  readonly #cache: ClusterCache;
  readonly #dependencies: CleanerDependencies;
  readonly #writer: Writer;

  constructor(config: HelperConfig, cache: ClusterCache, dependencies: CleanerDependencies, writer: Writer) {
    [this.#config, this.#cache, this.#dependencies, this.#writer] = [config, cache, dependencies, writer];
  }

  /** Whether there will be something to remove once the next helper has written everything. Never rejects. */
  async isNeededLater(): Promise<boolean> {
    return (await this.#plan(() => true)) !== undefined;
  }

  /** Removes what the next helper does not keep, at the end of a helper that works. Never rejects. */
  async cleanUpAtEnd(term: Term): Promise<void> {
    await this.#cleanUp(term, this.#isSuccessorReady, AbortSignal.timeout(cleanupTimeout));
  }

  /** Does so in a term for which the next helper lent the Lease, and gives it back. Never rejects. */
  async cleanUpForLender(term: Term, written: string): Promise<void> {
    writeUntilLost(this.#dependencies.writes, term);
    // The Deployment may be changed once more by now: what that helper keeps is not there yet.
    const hasWritten: HasWritten = (_, next) => keptHash(next) === written;
    await this.#cleanUp(term, hasWritten, AbortSignal.timeout(cleanupTimeout));
    await term.end({ back: true });
  }

  /**
   * Does so for a helper that ended while another one worked. `acquire` resolves to a term; undefined where it could not be acquired.
   * Never rejects.
   */
  async borrowAndCleanUp(acquire: () => Promise<Term | undefined>): Promise<void> {
    const limit = AbortSignal.timeout(cleanupTimeout);
    if ((await this.#plan(this.#isSuccessorReady)) === undefined) return;
    const term = await acquire();
    if (term === undefined)
      return void this.#dependencies.log("warn", "nothing was removed: the lease could not be acquired in time");
    writeUntilLost(this.#dependencies.writes, term);
    // The next helper may be another one by now.
    await this.#cleanUp(term, this.#isSuccessorReady, limit);
    await term.end({ back: true });
  }

  readonly #isSuccessorReady: HasWritten = (deployment) => isSuccessorReady(deployment, this.#dependencies.wasReady());

  async #cleanUp(term: Term, hasWritten: HasWritten, limit: AbortSignal): Promise<void> {
    const cleanUp = await this.#plan(hasWritten);
    await cleanUp?.(this.#writer, AbortSignal.any([limit, term.lost]));
  }

  async #plan(hasWritten: HasWritten): ReturnType<typeof planCleanUp> {
    return planCleanUp(this.#config, this.#cache, this.#dependencies, hasWritten);
  }
}
