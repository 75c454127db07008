// What is to be done, by key: each key once however often it is added, never twice at a time, what is urgent first.
import type { Clock } from "../runtime/clock.ts";

export interface QueueOptions {
  readonly clock: Clock;
  /** How many keys are worked on at a time; asked for whenever one is begun. */
  readonly concurrency: () => number;
  /** Called when nothing is left that is due: what waits for its time does not count. */
  readonly idle: () => void;
}

export class WorkQueue {
  readonly #work: (key: string) => Promise<void>;
  readonly #options: QueueOptions;
  readonly #urgent = new Set<string>();
  readonly #bulk = new Set<string>();
  readonly #running = new Set<string>();
  /** What was added while it was worked on, and whether it was urgent. */
  readonly #again = new Map<string, boolean>();
  /** What waits for its time, and how to stop it waiting. */
  readonly #later = new Map<string, { at: number; cancel: () => void }>();
  #progress: number;
  #closed = false;

  /** `work` must not reject. */
  constructor(work: (key: string) => Promise<void>, options: QueueOptions) {
    this.#work = work;
    this.#options = options;
    this.#progress = options.clock.now();
  }

  /** Adds a key to be worked on as soon as possible: before all others, or after all that were added before. */
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

  /** Adds a key after so many milliseconds, unless it is added sooner otherwise. */
  addAfter(key: string, milliseconds: number): void {
    const { clock } = this.#options;
    const at = clock.now() + milliseconds;
    const waiting = this.#later.get(key);
    if (waiting !== undefined && waiting.at <= at) return;
    waiting?.cancel();
    this.#later.set(key, { at, cancel: clock.after(milliseconds, () => this.add(key, true)) });
  }

  /** How long something was due and nothing was done, in milliseconds; 0 when nothing is due. */
  stalled(): number {
    const isDue = this.#urgent.size + this.#bulk.size + this.#running.size > 0;
    return isDue ? this.#options.clock.now() - this.#progress : 0;
  }

  /** Nothing more is begun. */
  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#later.values()) cancel();
  }

  #fill(): void {
    while (!this.#closed && this.#running.size < this.#options.concurrency()) {
      const [set] = [this.#urgent, this.#bulk].filter(({ size }) => size > 0);
      const [key] = set ?? [];
      if (set === undefined || key === undefined) return;
      set.delete(key);
      if (this.#running.size === 0) this.#progress = this.#options.clock.now();
      this.#running.add(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    await this.#work(key);
    this.#running.delete(key);
    this.#progress = this.#options.clock.now();
    const again = this.#again.get(key);
    this.#again.delete(key);
    if (again !== undefined) this.add(key, again);
    this.#fill();
    if (this.#urgent.size + this.#bulk.size + this.#running.size === 0) this.#options.idle();
  }
}
