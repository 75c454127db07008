// How many requests to send to the API server at a time: as many as help, and fewer as soon as it is overloaded.

/** More at a time only add latency at the API server. */
const maxInFlight = 32;

const isOverloaded = (status: number): boolean => status === 429 || status === 503;

/** Additive increase, multiplicative decrease, as in TCP: half after 429 or 503, one more after a round of other responses. */
export class ConcurrencyLimit {
  #value = maxInFlight;

  /** A whole number from 1 to 32. */
  get value(): number {
    return Math.floor(this.#value);
  }

  /** Adjusts to the status of a response; 0 where there was none. */
  answered(status: number): void {
    if (isOverloaded(status)) this.#value = Math.max(1, this.#value / 2);
    else if (status > 0) this.#value = Math.min(maxInFlight, this.#value + 1 / this.#value);
  }
}
