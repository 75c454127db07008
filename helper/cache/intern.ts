// Shares equal values: nearly all that the helper sees in thousands of namespaces is the same.

/** The cache is cleared at this size, so that values which are rarely equal do not become a leak. */
const maxInterned = 1_000;

/** Creates a function that returns the same value for all equal ones, compared by their JSON unless otherwise given. Callers must not change them. */
export function createIntern<T>(keyOf: (value: T) => string = JSON.stringify): (value: T) => T {
  const known = new Map<string, T>();
  return (value) => {
    const key = keyOf(value);
    const found = known.get(key);
    if (found !== undefined) return found;
    if (known.size >= maxInterned) known.clear();
    known.set(key, value);
    return value;
  };
}
