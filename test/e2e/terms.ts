// Who held the helpers' Lease when, and who wrote meanwhile: the API server's audit log has every write with its pod.
import type { KubeOptions } from "../../helper/kube/client.ts";
import { watch } from "../local/watch.ts";
import { hasSucceeded, helperEvents, isWrite } from "../support/helper-audit.ts";
import { leaseCollection, waitForHolder, type Lease } from "../support/lease-holder.ts";

/** From when on a pod held the Lease; an empty name for none. In milliseconds since 1970. */
export interface Acquisition {
  readonly pod: string;
  readonly at: number;
}

/** A write of a helper. */
export interface HelperWrite {
  readonly pod: string;
  /** When the API server received it, in milliseconds since 1970. */
  readonly at: number;
  /** `patch secrets NAMESPACE/NAME`. */
  readonly what: string;
}

/** Follows the Lease of one stack. */
export class LeaseHistory {
  /** Each change of the holder, in order. */
  readonly acquisitions: Acquisition[] = [];
  readonly #options: KubeOptions;
  readonly #namespace: string;
  readonly #over = new AbortController();
  readonly #following: Promise<void>;

  /** Starts to follow the Lease in the namespace of the helpers, whether it exists yet or not. */
  constructor(options: KubeOptions, namespace: string) {
    this.#options = options;
    this.#namespace = namespace;
    this.#following = this.#follow();
  }

  /** The pod that holds the Lease; an empty name for none. */
  get holder(): string {
    return this.acquisitions.at(-1)?.pod ?? "";
  }

  /** Resolves with the holder once `wanted` accepts it. Rejects after `timeout` milliseconds. */
  async waitForHolder(wanted: (pod: string) => boolean, timeout: number): Promise<string> {
    return waitForHolder(this.#options, this.#namespace, wanted, timeout);
  }

  /** Ends it. Rejects if it lost its watch. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#following;
  }

  async #follow(): Promise<void> {
    const { signal } = this.#over;
    try {
      for await (const { object } of watch<Lease>(this.#options, leaseCollection(this.#namespace), signal))
        if (object !== undefined) this.#record(object);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #record({ spec: { holderIdentity: pod = "", acquireTime = "" } }: Lease): void {
    if (pod !== this.holder) this.acquisitions.push({ pod, at: Date.parse(acquireTime) });
  }
}

/** Every write that the pods of a stack's helpers sent for secrets and service accounts, and that succeeded, by time. */
export async function helperWrites({ server }: KubeOptions, namespace: string): Promise<HelperWrite[]> {
  return (await helperEvents(server, namespace))
    .filter((event) => isWrite(event) && hasSucceeded(event))
    .map(({ user: { extra }, verb, objectRef, requestReceivedTimestamp }) => ({
      pod: extra?.["authentication.kubernetes.io/pod-name"]?.[0] ?? "",
      at: Date.parse(requestReceivedTimestamp),
      what: `${verb} ${objectRef?.resource ?? ""} ${objectRef?.namespace ?? ""}/${objectRef?.name ?? ""}`,
    }))
    .sort((a, b) => a.at - b.at);
}

/** The writes that their pod sent while it did not hold the Lease. Clocks are those of this machine, to a millisecond. */
export const writesWithoutLease = (
  writes: readonly HelperWrite[],
  acquisitions: readonly Acquisition[],
): HelperWrite[] =>
  writes.filter(({ pod, at }) => {
    const isHeld = (from: Acquisition, index: number): boolean =>
      from.pod === pod && from.at - 1 <= at && at <= (acquisitions[index + 1]?.at ?? Infinity) + 1;
    return !acquisitions.some(isHeld);
  });
