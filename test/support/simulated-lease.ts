// An API server that serves one Lease, in memory.
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { KubeError } from "../../helper/kube/errors.ts";
import type { KubeRequest } from "../../helper/kube/types.ts";

interface StoredLease {
  metadata: { name: string; uid: string; resourceVersion: string; annotations?: Record<string, string> };
  spec: { holderIdentity: string; leaseTransitions?: number; [field: string]: unknown };
}

interface LeaseToWrite extends Omit<StoredLease, "metadata"> {
  metadata: Omit<StoredLease["metadata"], "uid" | "resourceVersion"> & { uid?: string; resourceVersion?: string };
}

/** What the API server checks of a Lease. */
const isValid = ({
  leaseDurationSeconds,
  acquireTime,
  renewTime,
  leaseTransitions = 0,
}: StoredLease["spec"]): boolean =>
  leaseDurationSeconds !== 0 && acquireTime !== "" && renewTime !== "" && leaseTransitions < 2 ** 31;

const refusal = (request: KubeRequest, status: number): KubeError => new KubeError(request, status, '{"reason":"x"}');

/**
 * The API server as far as it serves one Lease: with optimistic locking, and creation by PUT, as the real one, which also creates
 * one for a PUT with a resourceVersion and without a uid.
 */
export class SimulatedLease {
  stored: StoredLease | undefined;
  /** The status with which it refuses each write. */
  refuses: number | undefined;
  /** How many requests it got. */
  requests = 0;
  #version = 1;
  readonly #watchers = new Set<() => void>();

  /** Deletes the Lease, as an administrator may. */
  delete(): void {
    this.stored = undefined;
    this.#changed();
  }

  /** Changes it, as an administrator may. */
  edit(change: { spec?: Partial<StoredLease["spec"]>; annotations?: Record<string, string> }): void {
    const { metadata, spec } = this.stored ?? assert.fail("there is no Lease");
    this.#changed();
    const annotations = { ...metadata.annotations, ...change.annotations };
    const changed = { ...metadata, annotations, resourceVersion: String(this.#version) };
    this.stored = { metadata: changed, spec: { ...spec, ...change.spec } };
  }

  /** Has versions begin from the start again, as after a restore of etcd. Nobody is told. */
  restore(): void {
    this.#version = 0;
    if (this.stored !== undefined) this.stored.metadata.resourceVersion = "0";
  }

  /** Answers a list, a read or a write of the Lease. Throws a KubeError. */
  serve(request: KubeRequest): unknown {
    const { method, path, body } = request;
    this.requests++;
    if (method === "PUT") return this.#write(request, JSON.parse(JSON.stringify(body)) as LeaseToWrite);
    if (path.includes("fieldSelector"))
      return { metadata: { resourceVersion: String(this.#version) }, items: this.stored ? [this.stored] : [] };
    if (this.stored === undefined) throw refusal(request, 404);
    return this.stored;
  }

  /** The lines of a watch: each state from now on, until the signal aborts. */
  async *watch(signal: AbortSignal): AsyncGenerator<string, void> {
    let seen = this.stored;
    const isOver = (): boolean => signal.aborted;
    while (!isOver()) {
      if (this.stored === seen) await this.#nextChange(signal);
      if (isOver() || this.stored === seen) continue;
      const [before, type] = [seen, this.stored === undefined ? "DELETED" : "MODIFIED"];
      // Before the line is read: meanwhile it may change again.
      seen = this.stored;
      const gone = { ...before, metadata: { ...before?.metadata, resourceVersion: String(this.#version) } };
      yield JSON.stringify({ type, object: seen ?? gone });
    }
  }

  async #nextChange(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#watchers.add(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #write(request: KubeRequest, lease: LeaseToWrite): StoredLease {
    const status = this.refuses ?? this.#refusal(lease);
    if (status !== undefined) throw refusal(request, status);
    this.#changed();
    const [uid, resourceVersion] = [this.stored?.metadata.uid ?? `u${String(this.#version)}`, String(this.#version)];
    return (this.stored = { ...lease, metadata: { ...lease.metadata, uid, resourceVersion } });
  }

  /** The status of the refusal that a write deserves. */
  #refusal({ metadata, spec }: LeaseToWrite): number | undefined {
    const { uid, resourceVersion } = metadata;
    if (uid !== undefined && uid !== this.stored?.metadata.uid) return 409;
    if (this.stored === undefined) return isValid(spec) ? undefined : 422;
    if (resourceVersion === undefined) return 422;
    if (resourceVersion !== this.stored.metadata.resourceVersion) return 409;
    return isValid(spec) ? undefined : 422;
  }

  #changed(): void {
    this.#version++;
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    // The state is changed by the time that they look.
    void turn().then(() => {
      for (const wake of watchers) wake();
    });
  }
}
