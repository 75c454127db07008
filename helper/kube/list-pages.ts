// Lists a collection of the Kubernetes API in pages of bounded size.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
import { ResponseTooLargeError } from "./errors.ts";
import type { Kube } from "./types.ts";

/** Objects per page, and bytes per page: they bound the memory, however many and large the objects are. */
const pageSize = 1_000;
const pageBytes = 4 << 20;

/** One page, as the API server sends it. */
export interface Page<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items?: readonly T[] | null;
}

/** The collection at `path`, which may have selectors already. Rejects as `kube` does. */
export async function* listPages<T>(
  kube: Kube,
  { path, ...options }: { readonly path: string; readonly signal: AbortSignal; readonly accept?: string },
): AsyncGenerator<Page<T>, void> {
  let [next, limit] = ["", pageSize];
  for (;;) {
    const call = { method: "GET", path: withQuery(path, `limit=${String(limit)}${next}`), ...options } as const;
    // A single object is read whatever its size.
    const page = await undefinedIfTooLarge(kube<Page<T>>(limit > 1 ? { ...call, maxBytes: pageBytes } : call));
    if (page === undefined) {
      limit = Math.ceil(limit / 10);
      continue;
    }
    yield page;
    // The large objects may all be of one namespace.
    limit = Math.min(pageSize, 2 * limit);
    const { continue: token = "" } = page.metadata;
    if (token === "") return;
    next = `&continue=${encodeURIComponent(token)}`;
  }
}

const undefinedIfTooLarge = async <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (error instanceof ResponseTooLargeError) return undefined;
    throw error;
  });

/** Adds parameters to a path that may have some already. */
export const withQuery = (path: string, query: string): string => `${path}${path.includes("?") ? "&" : "?"}${query}`;
