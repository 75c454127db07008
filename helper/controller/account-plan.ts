// Plans the actions for the service accounts of a namespace, those that are named and those that a pattern or the selector includes.
import type { CachedAccount } from "../cache/cached-objects.ts";
import type { ClusterCache } from "../cache/cluster-cache.ts";
import { createConfigIn } from "../config/namespaces.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import type { ObjectRef } from "../kube/object-ref.ts";
import { hasOwners } from "../resources/owners.ts";
import { maxSecretBytes } from "../resources/secrets.ts";
import { serviceAccountPatch, type Entries, type ServiceAccount } from "../resources/service-account.ts";
import { hadConverged, lostOwner, type AccountAction, type Desired, type LastConverged } from "./actions.ts";

/** Plans from the cache as it is at each call. */
export class AccountPlanner {
  readonly #config: HelperConfig;
  readonly #configIn: ReturnType<typeof createConfigIn>;
  readonly #cache: ClusterCache;
  readonly #named: readonly ObjectRef[];
  readonly #names: ReadonlySet<string>;

  /** `named` are the service accounts that the helper makes where they are missing. */
  constructor(config: HelperConfig, cache: ClusterCache, named: readonly ObjectRef[]) {
    [this.#config, this.#cache, this.#named] = [config, cache, named];
    this.#configIn = createConfigIn(config);
    this.#names = new Set(named.map(({ name }) => name));
  }

  /** The actions for a build namespace. Those for service accounts that are named come first. */
  plan(namespace: string, desired: Desired, last: LastConverged | undefined): AccountAction[] {
    const entries = this.#entriesFor(namespace, desired);
    const faultOf = this.#faultOf(entries);
    const plan = (object: ObjectRef): AccountAction[] => {
      const fault = faultOf(object.name, this.#cache.accounts.get(namespace, object.name));
      if (fault === undefined) return [];
      // After a change of the owners every account lacks one.
      const isDrift = hadConverged(last, object) && (fault !== lostOwner || last?.desired === desired);
      const isUnnamed = !this.#names.has(object.name);
      return [{ kind: "applyAccount", object, entries, drift: isDrift ? fault : undefined, isUnnamed }];
    };
    return [
      ...this.#named.flatMap(plan),
      ...this.unnamed(namespace).flatMap(plan),
      // One that the last helper has made by its name is left to that helper, which may delete it.
      ...this.#planReleases(namespace, ({ isIncluded, owners }) => !isIncluded && owners === undefined),
    ];
  }

  /** The actions for any other namespace. */
  planReleases(namespace: string): AccountAction[] {
    return this.#planReleases(namespace, () => true);
  }

  /** References to the service accounts of a namespace that are included, and not named. */
  unnamed(namespace: string): ObjectRef[] {
    return [...this.#cache.accounts.in(namespace)]
      .filter(([name, { isIncluded }]) => isIncluded && !this.#names.has(name))
      .map(([name]) => ({ kind: "ServiceAccount", name }));
  }

  #planReleases(namespace: string, isReleased: (seen: CachedAccount) => boolean): AccountAction[] {
    return [...this.#cache.accounts.in(namespace)]
      .filter(([, seen]) => seen.hasOwnEntries && isReleased(seen))
      .map(([name]) => {
        const object = { kind: "ServiceAccount", name } as const;
        return { kind: "releaseAccount", object, isUnnamed: !this.#names.has(name) };
      });
  }

  /** The entries of a service account: those secrets that exist, or are about to. */
  #entriesFor(namespace: string, desired: Desired): Entries {
    const exists = (name: string): boolean =>
      (desired.get(name)?.size ?? Infinity) <= maxSecretBytes ||
      this.#cache.secrets.get(name)?.get(namespace)?.isOwned === true;
    return {
      secrets: [...this.#configIn(namespace).basicAuthSecrets.values()].filter(exists),
      imagePullSecrets: [this.#config.pullSecret].filter(exists),
    };
  }

  /** Returns a function that says what is wrong with a service account; undefined when nothing is. */
  #faultOf(entries: Entries): (name: string, seen: CachedAccount | undefined) => string | undefined {
    // Nearly all service accounts share a projection: each is compared once.
    const complete = new Map<ServiceAccount, boolean>();
    const isComplete = (account: ServiceAccount): boolean => {
      const known = complete.get(account) ?? serviceAccountPatch(this.#config, account, entries) === undefined;
      complete.set(account, known);
      return known;
    };
    return (name, seen) => {
      if (seen === undefined) return "was deleted";
      if (!isComplete(seen.account)) return "lost an entry";
      if (seen.owners === undefined) return undefined;
      // Whoever included it by its name has made it; now it must not go with the stack any more.
      if (!this.#names.has(name)) return "has the labels of one that the helper made";
      return hasOwners(seen.owners, this.#cache.owners.uids) ? undefined : lostOwner;
    };
  }
}
