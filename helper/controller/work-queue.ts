// A queue of keys to be worked on: a key is queued once however often it is added, it is never worked on twice at the same time, and
// urgent keys come first.
import type { Clock } from "../runtime/clock.ts";

/** What a queue needs besides the work itself. */
export interface QueueOptions {
  readonly clock: Clock;
  /** How many keys may be worked on at a time; called before each start. */
  readonly concurrency: () => number;
  /** Called when nothing is due any more. Keys that wait for `addAfter` are not due. */
  readonly idle: () => void;
}

/** Works on all keys that are added, until it is closed. */
export class WorkQueue {
  readonly #work: (key: string) => Promise<void>;
  readonly #options: QueueOptions;
  readonly #urgent = new Set<string>();
  readonly #bulk = new Set<string>();
  readonly #running = new Set<string>();
  /** The keys that were added while they were worked on, and whether urgently. */
  readonly #again = new Map<string, boolean>();
  /** The keys that wait for `addAfter`: when they are due, by `uptime`, and how to cancel that. */
  readonly #later = new Map<string, { at: number; cancel: () => void }>();
  /** When work last began or ended, by `uptime`. */
  #progress: number;
  /** Resolves when no work runs any more; undefined until `close`. */
  #closed: Promise<void> | undefined;
  #drained: () => void = () => undefined;

  /** `work` must not reject. */
  constructor(work: (key: string) => Promise<void>, options: QueueOptions) {
    this.#work = work;
    this.#options = options;
    this.#progress = options.clock.uptime();
  }

  /** Adds a key: before all that are not urgent, or after all that were added before. */
  add(key: string, urgent: boolean): void {
    this.#later.get(key)?.cancel();
    this.#later.delete(key);
    if (this.#running.has(key)) {
      this.#again.set(key, urgent || this.#again.get(key) === true);
    } else if (urgent) {
      this.#bulk.delete(key);
      this.#urgent.add(key);
    } else if (!this.#urgent.has(key)) {
      this.#bulk.add(key);
    }
    this.#fill();
  }

  /** Adds a key urgently after a delay, unless it is added sooner by another call. */
  addAfter(key: string, milliseconds: number): void {
    // Its timer would keep the process alive.
    if (this.#closed !== undefined) return;
    const { clock } = this.#options;
    const at = clock.uptime() + milliseconds;
    const waiting = this.#later.get(key);
    if (waiting !== undefined && waiting.at <= at) return;
    waiting?.cancel();
    this.#later.set(key, { at, cancel: clock.after(milliseconds, () => this.add(key, true)) });
  }

  /** How long work has been due without any progress, in milliseconds; 0 when nothing is due. */
  stalled(): number {
    const isDue = this.#urgent.size + this.#bulk.size + this.#running.size > 0;
    return isDue ? this.#options.clock.uptime() - this.#progress : 0;
  }

  /** Starts no more work, and cancels all delays. Resolves when the work that was begun has ended. */
  async close(): Promise<void> {
    for (const { cancel } of this.#later.values()) cancel();
    this.#closed ??= new Promise((resolve) => {
      if (this.#running.size === 0) resolve();
      else this.#drained = resolve;
    });
    await this.#closed;
  }

  #fill(): void {
    while (this.#closed === undefined && this.#running.size < this.#options.concurrency()) {
      const [set] = [this.#urgent, this.#bulk].filter(({ size }) => size > 0);
      const [key] = set ?? [];
      if (set === undefined || key === undefined) return;
      set.delete(key);
      if (this.#running.size === 0) this.#progress = this.#options.clock.uptime();
      this.#running.add(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    await this.#work(key);
    this.#running.delete(key);
    this.#progress = this.#options.clock.uptime();
    if (this.#running.size === 0) this.#drained();
    const again = this.#again.get(key);
    this.#again.delete(key);
    if (again !== undefined) this.add(key, again);
    this.#fill();
    if (this.#urgent.size + this.#bulk.size + this.#running.size === 0) this.#options.idle();
  }
}
