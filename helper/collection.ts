// What was seen of one kind of object, one in each namespace: kept by watches and by the answers of the helper's own
// writes, which come in no order.
import type { KubeObject, ObjectMeta, Sink } from "./reflector.ts";

export interface Seen {
  readonly uid: string;
  /** Its resourceVersion: the number grows with every write to an object of the kind. */
  readonly version: number;
}

export class Collection<T extends Seen> {
  readonly #items = new Map<string, T>();
  readonly #changed: (key: string) => void;
  /** How far the watches have come. */
  #position = 0;

  /** Calls `changed` with the key of everything that becomes another. */
  constructor(changed: (key: string) => void) {
    this.#changed = changed;
  }

  get(key: string): T | undefined {
    return this.#items.get(key);
  }

  keys(): Iterable<string> {
    return this.#items.keys();
  }

  /** Takes the answer of a write, unless a watch has been further already: it would bring back what is gone. */
  wrote(key: string, item: T): void {
    if (item.version > this.#position) this.#set(key, item);
  }

  /**
   * Where a watch brings its news. `keyOf` gives an object's key, `judge` what is kept of it, `covers` which keys the
   * watch is about.
   */
  sink(
    keyOf: (metadata: ObjectMeta) => string,
    judge: (object: KubeObject) => T,
    covers: (key: string) => boolean,
  ): Sink<KubeObject> {
    return {
      set: (object) => {
        const item = judge(object);
        this.#position = Math.max(this.#position, item.version);
        this.#set(keyOf(object.metadata), item);
      },
      delete: ({ metadata }) => this.#delete(keyOf(metadata), Number(metadata.resourceVersion)),
      listed: (uids, version) => {
        for (const [key, { uid }] of [...this.#items]) if (covers(key) && !uids.has(uid)) this.#delete(key, version);
      },
    };
  }

  #set(key: string, item: T): void {
    if ((this.#items.get(key)?.version ?? -1) >= item.version) return;
    this.#items.set(key, item);
    this.#changed(key);
  }

  #delete(key: string, version: number): void {
    this.#position = Math.max(this.#position, version);
    const found = this.#items.get(key);
    if (found === undefined || found.version > version) return;
    this.#items.delete(key);
    this.#changed(key);
  }
}
