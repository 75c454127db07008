// Equal values are kept once: in thousands of namespaces nearly all that is seen is the same.

/** What is rarely the same is forgotten before it becomes a leak. */
const maxInterned = 1_000;

/** Gives a function that gives one and the same value for all equal ones (by their JSON). They must not be changed. */
export function createIntern<T>(): (value: T) => T {
  const known = new Map<string, T>();
  return (value) => {
    const key = JSON.stringify(value);
    const found = known.get(key);
    if (found !== undefined) return found;
    if (known.size >= maxInterned) known.clear();
    known.set(key, value);
    return value;
  };
}
