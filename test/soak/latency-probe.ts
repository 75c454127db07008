// How long a namespace waits for its credentials: a new one, and one whose secret somebody deletes. Beside them a bare
// request to the API server, which the helper has no part in.
import { setTimeout as sleep } from "node:timers/promises";
import { secretPath, type Secret } from "../support/kept-objects.ts";
import type { Parts } from "../support/stack-parts.ts";
import { watch } from "../local/watch.ts";
import { removeNamespace } from "./namespace-churn.ts";
import { grace, secretNames } from "./credential-check.ts";
import { pathOfSecrets } from "./sampler.ts";

/** All in milliseconds. */
export interface Latencies {
  readonly created: number[];
  readonly deleted: number[];
  readonly bare: number[];
}

type Named = Secret & { metadata: { name: string } };

/** Between one look and the next. */
const interval = 400;
const patience = 2 * grace;

export class LatencyProbe {
  readonly #parts: Parts;
  readonly #prefix: string;
  readonly #ignored: readonly string[];
  /** By NAMESPACE/NAME: who waits for that secret to be made. */
  readonly #waiting = new Map<string, () => void>();
  #count = 0;

  /** `prefix` begins the names of its namespaces; in the `ignored` ones nothing is looked at. */
  constructor(parts: Parts, prefix: string, ignored: readonly string[]) {
    [this.#parts, this.#prefix, this.#ignored] = [parts, prefix, ignored];
  }

  /** Resolves when the signal aborts, with what was measured until then. */
  async measure(signal: AbortSignal): Promise<Latencies> {
    const over = new AbortController();
    const latencies: Latencies = { created: [], deleted: [], bare: [] };
    const following = this.#follow(over.signal);
    const measuring = this.#run(latencies, signal).finally(() => over.abort());
    await Promise.all([following, measuring]);
    return latencies;
  }

  /** Each namespace is made, has a secret deleted a turn later, so that it has come to rest, and goes another turn later. */
  async #run({ created, deleted, bare }: Latencies, signal: AbortSignal): Promise<void> {
    const { admin } = this.#parts;
    const there: string[] = [];
    while (!signal.aborted) {
      const name = `${this.#prefix}-${String(this.#count++)}`;
      const since = performance.now();
      await admin({ method: "GET", path: "/api/v1/namespaces/default" });
      bare.push(performance.now() - since);
      created.push(
        await this.#returnOf(name, secretNames, {
          method: "POST",
          path: "/api/v1/namespaces",
          body: { metadata: { name } },
        }),
      );
      there.push(name);
      const [before] = there.splice(0, there.length - 1);
      if (before !== undefined) {
        const [secret] = secretNames;
        deleted.push(await this.#returnOf(before, [secret], { method: "DELETE", path: secretPath(before, secret) }));
        await removeNamespace(admin, before);
      }
      await sleep(interval, undefined, { signal }).catch(() => undefined);
    }
    for (const name of there) await removeNamespace(admin, name);
  }

  /** From a request's begin until these secrets of a namespace are made; not longer than `patience`, within which they should be. */
  async #returnOf(namespace: string, names: readonly string[], call: Parameters<Parts["admin"]>[0]): Promise<number> {
    const keys = names.map((name) => `${namespace}/${name}`);
    const made = Promise.all(keys.map(async (key) => new Promise<void>((resolve) => this.#waiting.set(key, resolve))));
    const since = performance.now();
    await this.#parts.admin(call);
    await Promise.race([made, sleep(patience, undefined, { ref: false })]);
    return performance.now() - since;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { options, owner } = this.#parts;
    try {
      for await (const { type, object } of watch<Named>(options, pathOfSecrets(owner, this.#ignored), signal)) {
        if (type !== "ADDED") continue;
        const key = `${object.metadata.namespace}/${object.metadata.name}`;
        this.#waiting.get(key)?.();
        this.#waiting.delete(key);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

/** The value that so many of them, a part of 1, do not exceed; NaN of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
