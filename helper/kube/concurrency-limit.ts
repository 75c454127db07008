// How much is asked of the API server at a time: as much as is of use, and less as soon as it says that it is too much.

/** More at a time adds latency at the API server and nothing else. */
const maxInFlight = 32;

const isTooMuch = (status: number): boolean => status === 429 || status === 503;

/** As TCP finds its rate: half of it after a refusal, one more after every round of answers that went well. */
export class ConcurrencyLimit {
  #value = maxInFlight;

  /** A whole number from 1 to 32. */
  get value(): number {
    return Math.floor(this.#value);
  }

  /** Takes the status of an answer; 0 where none came. */
  answered(status: number): void {
    if (isTooMuch(status)) this.#value = Math.max(1, this.#value / 2);
    else if (status > 0) this.#value = Math.min(maxInFlight, this.#value + 1 / this.#value);
  }
}
