// What was seen of one kind of object, one in each namespace: kept by watches and by the answers of the helper's own
// writes, which come in no order.
import type { KubeObject, ObjectMeta, Sink } from "./reflector.ts";

export interface Seen {
  readonly uid: string;
  /** Its resourceVersion: the number grows with every write to an object of the kind. */
  readonly version: number;
}

interface CollectionOptions<T, O> {
  readonly keyOf: (metadata: ObjectMeta) => string;
  /** What is kept of an object. */
  readonly judge: (object: O) => T;
  /** Called with the key of everything that becomes another. */
  readonly changed: (key: string) => void;
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
    const { keyOf, judge, changed } = this.#options;
    const key = keyOf(object.metadata);
    // Every write of the helper's own comes twice, as its answer and by the watch: it is judged once.
    if ((this.#items.get(key)?.version ?? -1) >= versionOf(object)) return;
    this.#items.set(key, judge(object));
    changed(key);
  }

  #delete(key: string, version: number): void {
    this.#position = Math.max(this.#position, version);
    const found = this.#items.get(key);
    if (found === undefined || found.version > version) return;
    this.#items.delete(key);
    this.#options.changed(key);
  }
}

/** An object's resourceVersion as the number that `Seen` keeps. */
export const versionOf = ({ metadata }: KubeObject): number => Number(metadata.resourceVersion);
