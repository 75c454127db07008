// The recent failures and outside changes of objects, by namespace.
import { formatRef, type ObjectRef } from "../kube/object-ref.ts";

/** What is remembered of an object in a namespace. */
export class FailureRecord {
  readonly object: ObjectRef;

  /** Failures in a row, all transient or all not. */
  failures = 0;
  /** Whether they were transient. */
  isTransient = false;
  /** How often the object was put back since it was last left alone for long. */
  repairs = 0;
  /** When it was last put back, by the clock's `uptime`. */
  repairedAt = -Infinity;
  /** The object is not written before this time, by the clock's `uptime`. */
  notBefore = -Infinity;
  /** The reason that was last logged as an error, which is not logged so again; "" when there was no failure. */
  lastReported = "";

  constructor(object: ObjectRef) {
    this.object = object;
  }

  /** Whether the last attempt failed, and the object itself is not to blame. */
  get isWaiting(): boolean {
    return this.failures > 0 && this.isTransient;
  }
}

/** Kept until they are forgotten. */
export class FailureRecords {
  /** How many objects wait for an API server that is unavailable, or for another writer. */
  waiting = 0;
  /** By namespace, then by object as `formatRef` writes it. */
  readonly #records = new Map<string, Map<string, FailureRecord>>();

  /** How many there are of a namespace. */
  count(namespace: string): number {
    return this.#records.get(namespace)?.size ?? 0;
  }

  find(namespace: string, object: ObjectRef): FailureRecord | undefined {
    return this.#records.get(namespace)?.get(formatRef(object));
  }

  /** That of an object, which is made where there is none. */
  of(namespace: string, object: ObjectRef): FailureRecord {
    const record = this.find(namespace, object) ?? new FailureRecord(object);
    const records = this.#records.get(namespace) ?? new Map<string, FailureRecord>();
    this.#records.set(namespace, records.set(formatRef(object), record));
    return record;
  }

  /** Forgets some of a namespace. */
  forget(namespace: string, isForgotten: (record: FailureRecord) => boolean): void {
    const records = this.#records.get(namespace);
    if (records === undefined) return;
    for (const [key, record] of [...records].filter(([, one]) => isForgotten(one))) {
      if (record.isWaiting) this.waiting--;
      records.delete(key);
    }
    if (records.size === 0) this.#records.delete(namespace);
  }
}
