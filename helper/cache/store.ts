// What was seen of one kind of object, one in each namespace: kept by watches and by the helper's own writes, whose answers
// come in no order.
import type { Sink } from "../kube/reflector.ts";
import type { KubeObject, ObjectMeta } from "../kube/types.ts";

export interface CachedObject {
  readonly uid: string;
  /** Its resourceVersion: the number grows with every write to an object of the kind. */
  readonly version: number;
}

interface StoreOptions<T, O> {
  readonly keyOf: (metadata: ObjectMeta) => string;
  /** What is kept of an object. */
  readonly project: (object: O) => T;
  /** Called with the key of everything that becomes another, in more than its version. */
  readonly onChange: (key: string) => void;
  /** Called with the key of an object that cannot be judged. What was known of it stays, and all others go on. */
  readonly onInvalid: (key: string, error: unknown) => void;
}

/** Keeps a T of every object O. */
export class Store<T extends CachedObject, O extends KubeObject = KubeObject> {
  readonly #items = new Map<string, T>();
  readonly #options: StoreOptions<T, O>;
  /** How far the watches have come. */
  #latestVersion = 0;

  constructor(options: StoreOptions<T, O>) {
    this.#options = options;
  }

  get(key: string): T | undefined {
    return this.#items.get(key);
  }

  keys(): Iterable<string> {
    return this.#items.keys();
  }

  /** Takes the answer of a write, unless a watch has been further already: it would bring back what is gone. */
  recordWrite(object: O): void {
    if (versionOf(object) > this.#latestVersion) this.#set(object);
  }

  /**
   * Takes what a write has made of an item: that the API server has taken it is all that was heard of it. Of its version the
   * watch will tell, and where it has told something since the write began, that counts.
   */
  assumeWritten(key: string, before: T, after: T): void {
    if (this.#items.get(key) === before) this.#items.set(key, after);
  }

  /** Where a watch brings its news. `covers` gives which keys the watch is about. */
  sink(covers: (key: string) => boolean): Sink<O> {
    return {
      set: (object) => {
        this.#latestVersion = Math.max(this.#latestVersion, versionOf(object));
        this.#set(object);
      },
      delete: (object) => this.#delete(this.#options.keyOf(object.metadata), versionOf(object)),
      listed: (uids, version) => {
        for (const [key, { uid }] of [...this.#items]) if (covers(key) && !uids.has(uid)) this.#delete(key, version);
      },
    };
  }

  #set(object: O): void {
    const { keyOf, onChange } = this.#options;
    const key = keyOf(object.metadata);
    const known = this.#items.get(key);
    if (known !== undefined && known.version >= versionOf(object)) return;
    const found = this.#project(key, object);
    if (found === undefined) return;
    this.#items.set(key, found);
    // The news of the helper's own writes is what was assumed already, and nothing has to be done about it.
    if (known === undefined || !isUnchanged(known, found)) onChange(key);
  }

  #project(key: string, object: O): T | undefined {
    try {
      return this.#options.project(object);
    } catch (error) {
      this.#options.onInvalid(key, error);
      return undefined;
    }
  }

  #delete(key: string, version: number): void {
    this.#latestVersion = Math.max(this.#latestVersion, version);
    const found = this.#items.get(key);
    if (found === undefined || found.version > version) return;
    this.#items.delete(key);
    this.#options.onChange(key);
  }
}

/** Whether two items are the same but for their versions. */
const isUnchanged = <T extends CachedObject>(one: T, other: T): boolean =>
  Object.entries(one).every(([key, value]) => key === "version" || other[key as keyof T] === value);

/** An object's resourceVersion as the number that `Seen` keeps. */
export const versionOf = ({ metadata }: KubeObject): number => Number(metadata.resourceVersion);
