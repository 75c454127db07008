// What was seen of one kind of object, one in each namespace: kept by watches and by the helper's own writes, whose answers
// come in no order.
import type { Sink } from "../kube/reflector.ts";
import type { KubeObject, ObjectMeta } from "../kube/types.ts";

export interface Seen {
  readonly uid: string;
  /** Its resourceVersion: the number grows with every write to an object of the kind. */
  readonly version: number;
}

interface CollectionOptions<T, O> {
  readonly keyOf: (metadata: ObjectMeta) => string;
  /** What is kept of an object. */
  readonly judge: (object: O) => T;
  /** Called with the key of everything that becomes another, in more than its version. */
  readonly changed: (key: string) => void;
  /** Called with the key of an object that cannot be judged. What was known of it stays, and all others go on. */
  readonly broken: (key: string, error: unknown) => void;
}

/** Keeps a T of every object O. */
export class Collection<T extends Seen, O extends KubeObject = KubeObject> {
  readonly #items = new Map<string, T>();
  readonly #options: CollectionOptions<T, O>;
  /** How far the watches have come. */
  #position = 0;

  constructor(options: CollectionOptions<T, O>) {
    this.#options = options;
  }

  get(key: string): T | undefined {
    return this.#items.get(key);
  }

  keys(): Iterable<string> {
    return this.#items.keys();
  }

  /** Takes the answer of a write, unless a watch has been further already: it would bring back what is gone. */
  wrote(object: O): void {
    if (versionOf(object) > this.#position) this.#set(object);
  }

  /**
   * Takes what a write has made of an item: that the API server has taken it is all that was heard of it. Of its version the
   * watch will tell, and where it has told something since the write began, that counts.
   */
  assume(key: string, before: T, after: T): void {
    if (this.#items.get(key) === before) this.#items.set(key, after);
  }

  /** Where a watch brings its news. `covers` gives which keys the watch is about. */
  sink(covers: (key: string) => boolean): Sink<O> {
    return {
      set: (object) => {
        this.#position = Math.max(this.#position, versionOf(object));
        this.#set(object);
      },
      delete: (object) => this.#delete(this.#options.keyOf(object.metadata), versionOf(object)),
      listed: (uids, version) => {
        for (const [key, { uid }] of [...this.#items]) if (covers(key) && !uids.has(uid)) this.#delete(key, version);
      },
    };
  }

  #set(object: O): void {
    const { keyOf, changed } = this.#options;
    const key = keyOf(object.metadata);
    const known = this.#items.get(key);
    if (known !== undefined && known.version >= versionOf(object)) return;
    const found = this.#judge(key, object);
    if (found === undefined) return;
    this.#items.set(key, found);
    // The news of the helper's own writes is what was assumed already, and nothing has to be done about it.
    if (known === undefined || !isAlike(known, found)) changed(key);
  }

  #judge(key: string, object: O): T | undefined {
    try {
      return this.#options.judge(object);
    } catch (error) {
      this.#options.broken(key, error);
      return undefined;
    }
  }

  #delete(key: string, version: number): void {
    this.#position = Math.max(this.#position, version);
    const found = this.#items.get(key);
    if (found === undefined || found.version > version) return;
    this.#items.delete(key);
    this.#options.changed(key);
  }
}

/** Whether two items are the same but for their versions. */
const isAlike = <T extends Seen>(one: T, other: T): boolean =>
  Object.entries(one).every(([key, value]) => key === "version" || other[key as keyof T] === value);

/** An object's resourceVersion as the number that `Seen` keeps. */
export const versionOf = ({ metadata }: KubeObject): number => Number(metadata.resourceVersion);
