// Watches objects of the API server, and waits for changes of them.
import { createKubeClient, createKubeStream, type KubeOptions } from "../../helper/kube/client.ts";

/** A watch event. `LISTED` comes once, after an `ADDED` for every object that existed at the start. */
export type Change<T> = { type: "ADDED" | "MODIFIED" | "DELETED"; object: T } | { type: "LISTED"; object: undefined };

interface List<T> {
  metadata: { resourceVersion: string };
  items: T[];
}

/**
 * Yields the objects under a path, which may have selectors, and then every change until the signal aborts. Throws when the API server
 * closes the watch, which no wait here is long enough for.
 */
export async function* watch<T>(
  options: KubeOptions,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<Change<T>, never> {
  const list = await createKubeClient(options)<List<T>>({ method: "GET", path, signal });
  for (const object of list.items) yield { type: "ADDED", object };
  yield { type: "LISTED", object: undefined };
  const since = `${path.includes("?") ? "&" : "?"}watch=1&resourceVersion=${list.metadata.resourceVersion}`;
  try {
    for await (const line of createKubeStream(options)({ method: "GET", path: `${path}${since}`, signal })) {
      yield JSON.parse(line) as Change<T>;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  throw new Error(`the API server closed the watch of ${path}`);
}

/** Resolves with the first change that `wanted` accepts; rejects after `timeout` milliseconds, or when the signal aborts. */
export async function waitFor<T>(
  options: KubeOptions,
  path: string,
  wanted: (change: Change<T>) => boolean,
  timeout: number,
  signal?: AbortSignal,
): Promise<Change<T>> {
  const over = new AbortController();
  const timer = setTimeout(
    () => over.abort(new Error(`nothing happened at ${path} for ${String(timeout / 1000)} s`)),
    timeout,
  );
  const stop = (): void => over.abort(signal?.reason);
  signal?.addEventListener("abort", stop);
  try {
    for await (const change of watch<T>(options, path, over.signal)) if (wanted(change)) return change;
    throw new Error("unreachable: a watch does not end without an error");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    over.abort();
  }
}

/** Resolves with the first object that `wanted` accepts, now or after a change. Rejects as `waitFor` does. */
export async function waitForObject<T>(
  options: KubeOptions,
  path: string,
  wanted: (object: T) => boolean,
  timeout: number,
  signal?: AbortSignal,
): Promise<T> {
  const isWanted = ({ object }: Change<T>): boolean => object !== undefined && wanted(object);
  const { object } = await waitFor<T>(options, path, isWanted, timeout, signal);
  return object as T;
}

/** Resolves when no object is left under a path. Rejects after `timeout` milliseconds. */
export async function waitUntilGone(options: KubeOptions, path: string, timeout: number): Promise<void> {
  const remaining = new Set<string>();
  await waitFor<{ metadata: { uid: string } }>(
    options,
    path,
    ({ type, object }) => {
      if (type === "ADDED") remaining.add(object.metadata.uid);
      if (type === "DELETED") remaining.delete(object.metadata.uid);
      return type !== "ADDED" && remaining.size === 0;
    },
    timeout,
  );
}
