// The cached objects of one kind, one for each namespace. Watches and the answers to the helper's own writes update it, and they
// arrive in no particular order.
import type { Sink } from "../kube/reflector.ts";
import type { KubeObject, ObjectMeta } from "../kube/types.ts";

/** What is kept of every object. */
export interface CachedObject {
  readonly uid: string;
  /** Its resourceVersion, a number that grows with every write to any object of the kind. */
  readonly version: number;
}

/** Where a store keeps its items. */
export interface Items<T> {
  get(key: string): T | undefined;
  set(key: string, item: T): void;
  delete(key: string): void;
  keys(): Iterable<string>;
}

interface StoreOptions<T, O> {
  /** The key of an object: its namespace, or the name of a namespace itself. */
  readonly keyOf: (metadata: ObjectMeta) => string;
  /** Reduces an object to what is kept of it; undefined where it is not kept, as if there were none. May throw. */
  readonly project: (object: O) => T | undefined;
  /** Called with the key of each item that appears, disappears, or changes in more than its version. */
  readonly onChange: (key: string) => void;
  /** Called with the key of an object on which `project` throws. The item stays as it was, and all other items are unaffected. */
  readonly onInvalid: (key: string, error: unknown) => void;
}

/** Keeps an item T for each object O, by key. */
export class Store<T extends CachedObject, O extends KubeObject = KubeObject> {
  readonly #items: Items<T>;
  readonly #options: StoreOptions<T, O>;
  /** The highest resourceVersion that any watch has delivered. */
  #latestVersion = 0;

  /** Stores of several watches can share their `items`. */
  constructor(options: StoreOptions<T, O>, items: Items<T> = new Map<string, T>()) {
    [this.#options, this.#items] = [options, items];
  }

  get(key: string): T | undefined {
    return this.#items.get(key);
  }

  keys(): Iterable<string> {
    return this.#items.keys();
  }

  /** Stores the answer to a write. One that a watch has overtaken is ignored: it could bring back a deleted object. */
  recordWrite(object: O): void {
    if (versionOf(object) > this.#latestVersion) this.#set(object);
  }

  /**
   * Stores the expected result of a write whose answer was not read. The version stays the old one until the watch delivers the
   * new one. An item that changed since the write began is left as the watch delivered it.
   */
  assumeWritten(key: string, before: T, after: T): void {
    if (this.#items.get(key) === before) this.#items.set(key, after);
  }

  /** The sink for a watch. `covers` says which keys belong to the watched collection. */
  sink(covers: (key: string) => boolean): Sink<O> {
    return {
      set: (object) => {
        this.#latestVersion = Math.max(this.#latestVersion, versionOf(object));
        this.#set(object);
      },
      keeps: ({ metadata }) => this.#items.get(this.#options.keyOf(metadata))?.uid === metadata.uid,
      delete: (object) => this.#delete(this.#options.keyOf(object.metadata), versionOf(object)),
      listed: (uids, version) => {
        for (const key of [...this.#items.keys()])
          if (covers(key) && !uids.has(this.#items.get(key)?.uid ?? "")) this.#delete(key, version);
      },
    };
  }

  #set(object: O): void {
    const { keyOf, project, onInvalid, onChange } = this.#options;
    const key = keyOf(object.metadata);
    const known = this.#items.get(key);
    if (known !== undefined && known.version >= versionOf(object)) return;
    let found: T | undefined;
    try {
      found = project(object);
    } catch (error) {
      return void onInvalid(key, error);
    }
    if (found === undefined) this.#items.delete(key);
    else this.#items.set(key, found);
    // The event of an own write brings what `assumeWritten` has stored already, and must not cause more work.
    if (!isUnchanged(known, found)) onChange(key);
  }

  #delete(key: string, version: number): void {
    this.#latestVersion = Math.max(this.#latestVersion, version);
    const found = this.#items.get(key);
    if (found === undefined || found.version > version) return;
    this.#items.delete(key);
    this.#options.onChange(key);
  }
}

/** Whether two items are equal except for their versions, or there is none of both. */
const isUnchanged = <T extends CachedObject>(one: T | undefined, other: T | undefined): boolean =>
  one === undefined || other === undefined
    ? one === other
    : Object.entries(one).every(([key, value]) => key === "version" || other[key as keyof T] === value);

/** An object's resourceVersion, as the number that a `CachedObject` keeps. */
export const versionOf = ({ metadata }: KubeObject): number => Number(metadata.resourceVersion);
