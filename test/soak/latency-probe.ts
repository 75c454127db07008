// Measures how long a namespace waits for its credentials after its creation, and after the deletion of a secret. For comparison
// it also measures a bare request to the API server, in which the helper has no part.
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

/** The pause between two measurements, in milliseconds. */
const interval = 400;
/** The longest wait for a secret, in milliseconds. */
const timeout = 2 * grace;

/** Creates and deletes namespaces of its own, and times the helper. */
export class LatencyProbe {
  readonly #parts: Parts;
  readonly #prefix: string;
  readonly #ignored: readonly string[];
  /** Callbacks for the creation of secrets, by NAMESPACE/NAME. */
  readonly #waiting = new Map<string, () => void>();
  #count = 0;

  /** `prefix` is that of its namespaces' names. Secrets in the `ignored` namespaces are not watched. */
  constructor(parts: Parts, prefix: string, ignored: readonly string[]) {
    [this.#parts, this.#prefix, this.#ignored] = [parts, prefix, ignored];
  }

  /** Measures until the signal aborts, and resolves with the latencies. */
  async measure(signal: AbortSignal): Promise<Latencies> {
    const over = new AbortController();
    const latencies: Latencies = { created: [], deleted: [], bare: [] };
    const following = this.#follow(over.signal);
    const measuring = this.#run(latencies, signal).finally(() => over.abort());
    await Promise.all([following, measuring]);
    return latencies;
  }

  /** Creates a namespace in each round. The next round, when it has converged, deletes a secret in it and then the namespace. */
  async #run({ created, deleted, bare }: Latencies, signal: AbortSignal): Promise<void> {
    const { admin } = this.#parts;
    const existing: string[] = [];
    while (!signal.aborted) {
      const name = `${this.#prefix}-${String(this.#count++)}`;
      const since = performance.now();
      await admin({ method: "GET", path: "/api/v1/namespaces/default" });
      bare.push(performance.now() - since);
      created.push(
        await this.#timeUntilCreated(name, secretNames, {
          method: "POST",
          path: "/api/v1/namespaces",
          body: { metadata: { name } },
        }),
      );
      existing.push(name);
      const [previous] = existing.splice(0, existing.length - 1);
      if (previous !== undefined) {
        const [secret] = secretNames;
        const path = secretPath(previous, secret);
        deleted.push(await this.#timeUntilCreated(previous, [secret], { method: "DELETE", path }));
        await removeNamespace(admin, previous);
      }
      await sleep(interval, undefined, { signal }).catch(() => undefined);
    }
    for (const name of existing) await removeNamespace(admin, name);
  }

  /** The time from the start of a request until these secrets of a namespace are created; `timeout` if they are not. */
  async #timeUntilCreated(
    namespace: string,
    names: readonly string[],
    call: Parameters<Parts["admin"]>[0],
  ): Promise<number> {
    const keys = names.map((name) => `${namespace}/${name}`);
    const created = Promise.all(
      keys.map(async (key) => new Promise<void>((resolve) => this.#waiting.set(key, resolve))),
    );
    const since = performance.now();
    await this.#parts.admin(call);
    await Promise.race([created, sleep(timeout, undefined, { ref: false })]);
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

/** A quantile of the values, with `part` from 0 to 1; NaN if there are no values. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
