// How long a namespace waits for the objects that the helper keeps in it.
import { secretPath } from "../support/kept-objects.ts";
import type { Parts } from "../support/stack-parts.ts";
import { watch } from "../local/watch.ts";
import type { Bench } from "./bench.ts";
import { percentile, rounded } from "./statistics.ts";

const names = ["ecr-creds", "ecr-creds-pull", "builder-sa"];

/** Follows the objects that the helper keeps in all namespaces, by watches. */
class ObjectWatcher {
  readonly #over = new AbortController();
  readonly #waiting = new Map<string, () => void>();
  readonly #present = new Set<string>();
  readonly #following: readonly Promise<void>[];

  constructor(parts: Parts) {
    this.#following = names.map(async (name) =>
      this.#follow(parts, name === "builder-sa" ? "serviceaccounts" : "secrets", name).catch(() => undefined),
    );
  }

  async #follow({ options }: Parts, collection: string, name: string): Promise<void> {
    const path = `/api/v1/${collection}?fieldSelector=metadata.name%3D${name}`;
    for await (const { type, object } of watch<{ metadata: { namespace: string } }>(options, path, this.#over.signal)) {
      const key = `${object?.metadata.namespace ?? ""}/${name}`;
      if (type === "DELETED") this.#present.delete(key);
      else this.#present.add(key);
      this.#waiting.get(key)?.();
    }
  }

  /** Treats an object as absent from now on, before its deletion is seen. */
  forget(namespace: string, name: string): void {
    this.#present.delete(`${namespace}/${name}`);
  }

  /** Resolves when an object is present. */
  async appears(namespace: string, name: string): Promise<void> {
    const key = `${namespace}/${name}`;
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (this.#present.has(key)) resolve();
      };
      this.#waiting.set(key, check);
      check();
    });
    this.#waiting.delete(key);
  }

  /** Ends the watches. */
  async stop(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#following);
  }
}

/**
 * Measures, in as many samples, how long it takes from a namespace's creation to its three objects, and from a secret's deletion
 * to its return.
 */
export async function latencies({ id, parts }: Bench, samples: number): Promise<Record<string, number>> {
  const objects = new ObjectWatcher(parts);
  const [created, returned]: [number[], number[]] = [[], []];
  for (let sample = 0; sample < samples; sample++) {
    const namespace = `${id}-sample-${String(sample)}`;
    let start = performance.now();
    await parts.namespace(namespace);
    await Promise.all(names.map(async (name) => objects.appears(namespace, name)));
    created.push(performance.now() - start);
    start = performance.now();
    objects.forget(namespace, "ecr-creds");
    await parts.admin({ method: "DELETE", path: secretPath(namespace, "ecr-creds") });
    await objects.appears(namespace, "ecr-creds");
    returned.push(performance.now() - start);
  }
  await objects.stop();
  return {
    "namespace to its three objects, median ms": rounded(percentile(created, 0.5)),
    "namespace to its three objects, 99th ms": rounded(percentile(created, 0.99)),
    "deleted secret to its return, median ms": rounded(percentile(returned, 0.5)),
    "deleted secret to its return, 99th ms": rounded(percentile(returned, 0.99)),
  };
}
