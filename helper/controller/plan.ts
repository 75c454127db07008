// Plans the actions for a namespace by comparing the cache with the desired state. It performs none of them.
import type { CachedSecret } from "../cache/cached-objects.ts";
import type { ClusterCache } from "../cache/cluster-cache.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { allConfigs, createConfigIn, createSecretNames } from "../config/namespaces.ts";
import { createIntern } from "../cache/intern.ts";
import { formatRef, type ObjectRef } from "../kube/object-ref.ts";
import type { Tokens } from "../ecr/token.ts";
import { hasOwners } from "../resources/owners.ts";
import { desiredSecrets } from "../resources/secrets.ts";
import type { DesiredSecret } from "../resources/types.ts";
import { namedAccounts } from "../shared/account-rules.ts";
import { AccountPlanner } from "./account-plan.ts";
import {
  hadConverged,
  lostOwner,
  type AccountAction,
  type ActionBase,
  type Desired,
  type DesiredIn,
  type LastConverged,
} from "./actions.ts";

/** One write to one object. `seen` is the object as it was in the cache when the action was planned. */
export type Action =
  | (ActionBase & {
      readonly kind: "writeSecret";
      readonly secret: DesiredSecret;
      readonly seen: CachedSecret | undefined;
    })
  | (ActionBase & { readonly kind: "removeSecret"; readonly seen: CachedSecret })
  | AccountAction;

/** References to the objects of build namespaces that have names in the configuration. */
export interface ManagedObjects {
  readonly secrets: readonly ObjectRef[];
  readonly accounts: readonly ObjectRef[];
  /** All of them, the service accounts last. */
  readonly all: readonly ObjectRef[];
}

/** The objects that a helper of this configuration makes in namespaces where they are missing, some secrets in some of these only. */
export function managedObjects(config: HelperConfig): ManagedObjects {
  const secrets = config.allSecretNames.map((name) => ({ kind: "Secret", name }) as const);
  const accounts = namedAccounts(config).map((name) => ({ kind: "ServiceAccount", name }) as const);
  return { secrets, accounts, all: [...secrets, ...accounts] };
}

/** Plans from the cache as it is at each call, and remembers nothing about single namespaces. */
export class Planner {
  readonly objects: ManagedObjects;
  readonly #config: HelperConfig;
  readonly #cache: ClusterCache;
  /** The names of the secrets of a build namespace. */
  readonly #secretNames: ReturnType<typeof createSecretNames>;
  readonly #configIn: ReturnType<typeof createConfigIn>;
  readonly #refs: ReadonlySet<string>;
  readonly #accounts: AccountPlanner;
  /** Nearly all of thousands of namespaces have the same objects. */
  readonly #intern = createIntern<ReadonlySet<string>>((refs) => [...refs].join());
  /** The lists of `objectsIn`, by the names of the secrets. */
  readonly #objectsOf = new Map<readonly string[], readonly ObjectRef[]>();

  constructor(config: HelperConfig, cache: ClusterCache) {
    [this.#config, this.#cache, this.objects] = [config, cache, managedObjects(config)];
    [this.#secretNames, this.#configIn] = [createSecretNames(config), createConfigIn(config)];
    this.#refs = new Set(this.objects.all.map(formatRef));
    this.#accounts = new AccountPlanner(config, cache, this.objects.accounts);
  }

  /** Those of `objects` that a build namespace gets: the same list for all namespaces that get the same. */
  objectsIn(namespace: string): readonly ObjectRef[] {
    const names = this.#secretNames(namespace);
    const objects =
      this.#objectsOf.get(names) ??
      this.objects.all.filter(({ kind, name }) => kind !== "Secret" || names.includes(name));
    this.#objectsOf.set(names, objects);
    return objects;
  }

  /** Returns a function that gives the secrets of a namespace with these tokens, and with the stack's owners that exist now. */
  desired(tokens: Tokens): DesiredIn {
    const owners = this.#cache.owners.references;
    const desired = (config: HelperConfig): Desired =>
      new Map(desiredSecrets(config, tokens, owners).map((secret) => [secret.name, secret]));
    const byConfig = new Map(allConfigs(this.#config).map((config) => [config, desired(config)]));
    return (namespace) => byConfig.get(this.#configIn(namespace)) ?? noSecrets;
  }

  /** The actions for a namespace. The service accounts come last, when the secrets that they list exist. */
  planNamespace(namespace: string, desired: Desired, last: LastConverged | undefined): Action[] {
    const kind = this.#cache.kindOf(namespace);
    if (kind === "gone") return [];
    const kept = { build: this.#secretNames(namespace), own: this.#config.ownSecretNames, none: [] };
    const names: readonly string[] = kept[kind];
    const secrets = this.objects.secrets.map((object) => {
      const { name } = object;
      const seen = this.#cache.secrets.get(name)?.get(namespace);
      if (names.includes(name)) return this.#planSecret(object, seen, desired, last);
      return seen?.isOwned === true ? ({ kind: "removeSecret", object, seen } as const) : undefined;
    });
    const accounts =
      kind === "build" ? this.#accounts.plan(namespace, desired, last) : this.#accounts.planReleases(namespace);
    return [...secrets, ...accounts].filter((action) => action !== undefined);
  }

  /** Whether the helper makes this object, or it exists. */
  isKnown(namespace: string, object: ObjectRef): boolean {
    return this.#refs.has(formatRef(object)) || this.#cache.exists(namespace, object);
  }

  /** The kept objects of a namespace that exist and are not among `failed`, as `formatRef` writes them. */
  converged(namespace: string, failed: ReadonlySet<string>): ReadonlySet<string> {
    const existing = this.objectsIn(namespace).filter((object) => this.#cache.exists(namespace, object));
    const unnamed = this.#accounts.unnamed(namespace);
    const refs = new Set([...existing, ...unnamed].map(formatRef).filter((ref) => !failed.has(ref)));
    // Others choose these names, and could make a thousand large sets that are all different.
    return unnamed.length > maxShared ? refs : this.#intern(refs);
  }

  #planSecret(
    object: ObjectRef,
    seen: CachedSecret | undefined,
    desired: Desired,
    last: LastConverged | undefined,
  ): Action | undefined {
    const secret = desired.get(object.name);
    if (secret === undefined) return undefined;
    const hasConverged = hadConverged(last, object);
    const action = { kind: "writeSecret", object, secret, seen } as const;
    if (seen === undefined) return { ...action, drift: hasConverged ? "was deleted" : undefined };
    if (!seen.isOwned) return action;
    if (isConverged(seen, secret)) return undefined;
    return { ...action, drift: driftOf(seen, secret, hasConverged && last?.desired === desired) };
  }
}

const noSecrets: Desired = new Map();

/** A set with more service accounts that are not named is not shared. */
const maxShared = 10;

const isConverged = (seen: CachedSecret, secret: DesiredSecret): boolean =>
  seen.modifiedBy === undefined && hasOwners(seen.owners, secret.owners) && seen.revision === secret.revision;

/** What somebody did to a secret that the helper wrote; undefined where the helper itself has new content or owners for it. */
function driftOf(seen: CachedSecret, secret: DesiredSecret, wasCurrent: boolean): string | undefined {
  if (seen.modifiedBy !== undefined) return `was changed by ${seen.modifiedBy}`;
  return wasCurrent && !hasOwners(seen.owners, secret.owners) ? lostOwner : undefined;
}
