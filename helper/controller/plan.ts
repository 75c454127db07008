// Plans the actions for a namespace by comparing the cache with the desired state. It performs none of them.
import type { CachedAccount, CachedSecret } from "../cache/cached-objects.ts";
import type { ClusterCache } from "../cache/cluster-cache.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import type { ObjectRef } from "../kube/object-ref.ts";
import type { Tokens } from "../ecr/token.ts";
import { hasOwners } from "../resources/owners.ts";
import { desiredSecrets, maxSecretBytes } from "../resources/secrets.ts";
import { serviceAccountPatch, type Entries } from "../resources/service-account.ts";
import type { DesiredSecret } from "../resources/types.ts";
import { createNamespaceTest } from "../shared/secret-definition.ts";

interface ActionBase {
  readonly object: ObjectRef;
  /**
   * What someone else did to the object; undefined when it only has to be created, refreshed or removed. Where a write then finds nothing to
   * do, the cache was behind, or somebody else has put it back.
   */
  readonly drift?: string | undefined;
}

/** One write to one object. `seen` is the object as it was in the cache when the action was planned. */
export type Action =
  | (ActionBase & {
      readonly kind: "writeSecret";
      readonly secret: DesiredSecret;
      readonly seen: CachedSecret | undefined;
    })
  | (ActionBase & { readonly kind: "removeSecret"; readonly seen: CachedSecret })
  | (ActionBase & { readonly kind: "applyAccount"; readonly entries: Entries })
  | (ActionBase & { readonly kind: "releaseAccount" });

/** References to the objects of build namespaces. */
export interface ManagedObjects {
  readonly secrets: readonly ObjectRef[];
  readonly accounts: readonly ObjectRef[];
  /** All of them, the service accounts last. */
  readonly all: readonly ObjectRef[];
}

/** The objects that a helper of this configuration keeps in build namespaces, a further secret in some of these only. */
export function managedObjects({ secretNames, serviceAccounts }: HelperConfig): ManagedObjects {
  const secrets = secretNames.map((name) => ({ kind: "Secret", name }) as const);
  const accounts = serviceAccounts.map((name) => ({ kind: "ServiceAccount", name }) as const);
  return { secrets, accounts, all: [...secrets, ...accounts] };
}

/** The desired secrets by name. One that is missing here has no token, or no longer one, and is left as it is. */
export type Desired = ReadonlyMap<string, DesiredSecret>;

/** What somebody did who took away a reference to an owner that exists. */
const lostOwner = "lost its owner";

/** What was up to date in a namespace after it was last reconciled. */
export interface LastConverged {
  /** Some of the planner's `objects`: one that is missing now was deleted since. */
  readonly objects: readonly ObjectRef[];
  /** The desired state that they were compared with. */
  readonly desired: Desired;
}

/** Plans from the cache as it is at each call, and remembers nothing about single namespaces. */
export class Planner {
  /** There is one reference to each object, which all namespaces share. */
  readonly objects: ManagedObjects;
  readonly #config: HelperConfig;
  readonly #cache: ClusterCache;
  /** Whether a build namespace gets the secret of a name. */
  readonly #isIn: ReturnType<typeof createNamespaceTest>;
  /** The lists of `objectsIn`, by the names that are not in them. */
  readonly #objectsWithout = new Map<string, readonly ObjectRef[]>();

  constructor(config: HelperConfig, cache: ClusterCache) {
    [this.#config, this.#cache, this.objects] = [config, cache, managedObjects(config)];
    this.#isIn = createNamespaceTest(config.furtherSecrets);
  }

  /** Those of `objects` that a build namespace gets: the same list for all namespaces that get the same. */
  objectsIn(namespace: string): readonly ObjectRef[] {
    const others = this.#config.secretNames.filter((name) => !this.#isIn(name, namespace));
    if (others.length === 0) return this.objects.all;
    const found = this.#objectsWithout.get(others.join());
    if (found !== undefined) return found;
    const objects = this.objects.all.filter(({ kind, name }) => kind !== "Secret" || !others.includes(name));
    this.#objectsWithout.set(others.join(), objects);
    return objects;
  }

  /** The secrets with these tokens, and with the stack's owners that exist now. */
  desired(tokens: Tokens): Desired {
    const secrets = desiredSecrets(this.#config, tokens, this.#cache.owners.references);
    return new Map(secrets.map((secret) => [secret.name, secret]));
  }

  /** The actions for a namespace. The service accounts come last, when the secrets that they list exist. */
  planNamespace(namespace: string, desired: Desired, last: LastConverged | undefined): Action[] {
    const kind = this.#cache.kindOf(namespace);
    if (kind === "gone") return [];
    const secrets = this.objects.secrets.map((object) => {
      const { name } = object;
      const seen = this.#cache.secrets.get(name)?.get(namespace);
      if (
        (kind === "build" && this.#isIn(name, namespace)) ||
        (kind === "own" && this.#config.ownSecretNames.includes(name))
      ) {
        return this.#planSecret(object, seen, desired, last);
      }
      return seen?.isOwned === true ? ({ kind: "removeSecret", object, seen } as const) : undefined;
    });
    const accounts = kind === "build" ? this.#planAccounts(namespace, desired, last) : this.#planReleases(namespace);
    return [...secrets, ...accounts].filter((action) => action !== undefined);
  }

  #planSecret(
    object: ObjectRef,
    seen: CachedSecret | undefined,
    desired: Desired,
    last: LastConverged | undefined,
  ): Action | undefined {
    const secret = desired.get(object.name);
    if (secret === undefined) return undefined;
    const hadConverged = last?.objects.includes(object) === true;
    const action = { kind: "writeSecret", object, secret, seen } as const;
    if (seen === undefined) return { ...action, drift: hadConverged ? "was deleted" : undefined };
    if (!seen.isOwned) return action;
    if (isConverged(seen, secret)) return undefined;
    return { ...action, drift: driftOf(seen, secret, hadConverged && last.desired === desired) };
  }

  #planAccounts(namespace: string, desired: Desired, last: LastConverged | undefined): (Action | undefined)[] {
    const entries = this.#entriesFor(namespace, desired);
    return this.objects.accounts.map((object) => {
      const fault = this.#accountFault(this.#cache.accounts.get(object.name)?.get(namespace), entries);
      if (fault === undefined) return undefined;
      const hadConverged = last?.objects.includes(object) === true;
      // After a change of the owners every account lacks one.
      const isDrift = hadConverged && (fault !== lostOwner || last.desired === desired);
      return { kind: "applyAccount", object, entries, drift: isDrift ? fault : undefined };
    });
  }

  #planReleases(namespace: string): Action[] {
    return this.objects.accounts
      .filter(({ name }) => this.#cache.accounts.get(name)?.get(namespace)?.hasOwnEntries === true)
      .map((object) => ({ kind: "releaseAccount", object }));
  }

  /** The entries of a service account: those secrets that exist, or are about to. */
  #entriesFor(namespace: string, desired: Desired): Entries {
    const exists = (name: string): boolean =>
      (desired.get(name)?.size ?? Infinity) <= maxSecretBytes ||
      this.#cache.secrets.get(name)?.get(namespace)?.isOwned === true;
    return {
      secrets: [...this.#config.basicAuthSecrets.values()].filter(exists),
      imagePullSecrets: [this.#config.pullSecret].filter(exists),
    };
  }

  /** What is wrong with a service account; undefined when nothing is. */
  #accountFault(seen: CachedAccount | undefined, entries: Entries): string | undefined {
    if (seen === undefined) return "was deleted";
    if (serviceAccountPatch(this.#config, seen.account, entries) !== undefined) return "lost an entry";
    return seen.owners === undefined || hasOwners(seen.owners, this.#cache.owners.uids) ? undefined : lostOwner;
  }
}

const isConverged = (seen: CachedSecret, secret: DesiredSecret): boolean =>
  seen.modifiedBy === undefined && hasOwners(seen.owners, secret.owners) && seen.revision === secret.revision;

/** What somebody did to a secret that the helper wrote; undefined where the helper itself has new content or owners for it. */
function driftOf(seen: CachedSecret, secret: DesiredSecret, wasCurrent: boolean): string | undefined {
  if (seen.modifiedBy !== undefined) return `was changed by ${seen.modifiedBy}`;
  return wasCurrent && !hasOwners(seen.owners, secret.owners) ? lostOwner : undefined;
}
