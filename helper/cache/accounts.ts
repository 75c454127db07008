// The service accounts of all namespaces that the cache keeps: those that the stack's rules include, and those that have something
// of the helper's. Where all of them have names, each name has a watch of its own; otherwise one watch delivers every service account.
import type { Sink } from "../kube/reflector.ts";
import type { KubeObject, ObjectMeta } from "../kube/types.ts";
import type { ServiceAccount } from "../resources/service-account.ts";
import { includesUnnamed, namedAccounts, type AccountRules } from "../shared/account-rules.ts";
import type { CachedAccount } from "./cached-objects.ts";
import { Store, type Items } from "./store.ts";

/**
 * So many service accounts are kept of a namespace, and those that are named. Whoever owns a namespace can create any number that a
 * pattern or the selector includes, or can write the helper's annotation into any number.
 */
export const maxUnnamedAccounts = 1_000;

/** What a change of a service account, or one that cannot be kept, is reported to; both get its namespace. */
interface Callbacks {
  readonly onChange: (namespace: string) => void;
  readonly onInvalid: (namespace: string, error: unknown) => void;
}

/** A watch of one name, or of all where `name` is undefined, in one namespace or in all. */
interface AccountWatch {
  readonly name: string | undefined;
  readonly sink: Sink<KubeObject>;
}

const keyOf = ({ namespace = "", name }: ObjectMeta): string => `${namespace}/${name}`;
const namespaceOf = (key: string): string => key.slice(0, key.indexOf("/"));
const nameOf = (key: string): string => key.slice(key.indexOf("/") + 1);

/** Items by namespace and name. As those of a store they have keys NAMESPACE/NAME. */
class ByNamespace<T> implements Items<T> {
  readonly #namespaces = new Map<string, Map<string, T>>();

  in(namespace: string): ReadonlyMap<string, T> {
    return this.#namespaces.get(namespace) ?? new Map<string, T>();
  }

  namespaces(): Iterable<string> {
    return this.#namespaces.keys();
  }

  *keys(): Generator<string, undefined> {
    for (const [namespace, items] of this.#namespaces) for (const name of items.keys()) yield `${namespace}/${name}`;
  }

  get(key: string): T | undefined {
    return this.in(namespaceOf(key)).get(nameOf(key));
  }

  set(key: string, item: T): void {
    const items = this.#namespaces.get(namespaceOf(key)) ?? new Map<string, T>();
    this.#namespaces.set(namespaceOf(key), items.set(nameOf(key), item));
  }

  delete(key: string): void {
    const items = this.#namespaces.get(namespaceOf(key));
    items?.delete(nameOf(key));
    // Namespaces come and go.
    if (items?.size === 0) this.#namespaces.delete(namespaceOf(key));
  }
}

/** Filled by the watches, and by the answers to the helper's own writes. */
export class Accounts {
  readonly #items = new ByNamespace<CachedAccount>();
  /** By name, or only one under undefined. */
  readonly #stores: ReadonlyMap<string | undefined, Store<CachedAccount>>;

  /** `project` returns undefined for a service account that is not kept. */
  constructor(
    rules: AccountRules,
    project: (object: ServiceAccount & KubeObject) => CachedAccount | undefined,
    { onChange, onInvalid }: Callbacks,
  ) {
    const named = new Set(namedAccounts(rules));
    const projectKept = (object: KubeObject): CachedAccount | undefined => {
      const { name, namespace = "" } = object.metadata;
      const found = project(object as ServiceAccount & KubeObject);
      const kept = this.#items.in(namespace);
      if (found !== undefined && !named.has(name) && !kept.has(name) && kept.size >= maxUnnamedAccounts + named.size)
        throw new Error(
          `service account ${name} is one too many: the helper serves ${String(maxUnnamedAccounts)} of a namespace that ` +
            "serviceAccounts does not name",
        );
      return found;
    };
    const options = {
      keyOf,
      project: projectKept,
      onChange: (key: string) => onChange(namespaceOf(key)),
      onInvalid: (key: string, error: unknown) => onInvalid(namespaceOf(key), error),
    };
    const names = includesUnnamed(rules) ? [undefined] : named;
    this.#stores = new Map([...names].map((name) => [name, new Store<CachedAccount>(options, this.#items)]));
  }

  get(namespace: string, name: string): CachedAccount | undefined {
    return this.#items.in(namespace).get(name);
  }

  /** Those of a namespace, by name. */
  in(namespace: string): ReadonlyMap<string, CachedAccount> {
    return this.#items.in(namespace);
  }

  /** The namespaces that have any. */
  namespaces(): Iterable<string> {
    return this.#items.namespaces();
  }

  /** Stores the answer to a write. */
  recordWrite(account: ServiceAccount & KubeObject): void {
    (this.#stores.get(account.metadata.name) ?? this.#stores.get(undefined))?.recordWrite(account);
  }

  /** The watches that fill this in a namespace, or in all when undefined. */
  watches(namespace: string | undefined): AccountWatch[] {
    const start = namespace === undefined ? "" : `${namespace}/`;
    return [...this.#stores].map(([name, store]) => {
      const end = name === undefined ? "" : `/${name}`;
      return { name, sink: store.sink((key) => key.startsWith(start) && key.endsWith(end)) };
    });
  }
}
