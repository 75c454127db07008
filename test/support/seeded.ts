// Reproducible random numbers: the same seed gives the same numbers.

/** Mulberry32: small, and even enough to choose by. Gives numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A random element; throws if there is none. */
export function pick<T>(all: readonly T[], random: () => number): T {
  const [found] = all.slice(Math.floor(random() * all.length));
  if (found === undefined) throw new Error("there is nothing to choose from");
  return found;
}

/** The elements in random order. */
export function shuffled<T>(all: readonly T[], random: () => number): T[] {
  const drawn = all.map((one) => ({ one, at: random() }));
  return drawn.sort((a, b) => a.at - b.at).map(({ one }) => one);
}
