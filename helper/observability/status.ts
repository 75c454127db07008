// Whether the helper is alive, ready and fully synced. The kubelet and Prometheus read it.
import type { HelperConfig } from "../config/helper-config.ts";
import { wasIssued, type Tokens } from "../ecr/token.ts";

/** The state of a namespace: `pending` until it was reconciled, then `synced` if every object in it is as desired, else `failing`. */
export type NamespaceState = "synced" | "pending" | "failing";

/** What the status is computed from, read at each call. */
export interface StatusSource {
  readonly tokens: () => Tokens;
  /** The namespaces in which the helper keeps objects. */
  readonly targets: () => readonly string[];
  readonly states: () => ReadonlyMap<string, NamespaceState>;
  /** How long work has been due without any progress, in milliseconds. */
  readonly stalled: () => number;
  /** Whether the helper holds the Lease. */
  readonly isLeading: () => boolean;
  /**
   * The pod that holds the Lease, the template of the one that works, and the pod that is to clean up once everything is written,
   * "" for none; undefined while nobody is known to hold it.
   */
  readonly holder: () => { readonly holder: string; readonly template: string; readonly cleaner: string } | undefined;
  /** How long ago this helper handed the Lease over to one that asked for it, in milliseconds; Infinity if it has not. */
  readonly sinceHandOver: () => number;
  /** How many collections have not been listed yet. */
  readonly unlisted: () => number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** After so long without progress while work is due, in milliseconds, the helper counts as stuck. */
export const stuckAfter = 5 * 60_000;

/**
 * A helper that handed the Lease over does not ask for it back for so long, in milliseconds: the next one can become ready meanwhile.
 * Otherwise helpers of two templates, neither of them ready, would take it from each other all the time.
 */
export const handOverRest = 10_000;

/** The answers to the kubelet's probes. */
export class Status {
  readonly #config: Pick<HelperConfig, "namespace" | "template" | "allTokenRequests">;
  readonly #tokenNames: readonly string[];
  readonly #source: StatusSource;
  #wasReady = false;

  constructor(config: Pick<HelperConfig, "namespace" | "template" | "allTokenRequests">, source: StatusSource) {
    [this.#config, this.#source] = [config, source];
    this.#tokenNames = [...config.allTokenRequests.keys()];
  }

  /** Whether the helper was ready when it was last asked: it stays so. */
  get wasReady(): boolean {
    return this.#wasReady;
  }

  /** Why the helper is not alive; undefined when it is. */
  livenessError(): string | undefined {
    const stalled = this.#source.stalled();
    return stalled > stuckAfter ? `no progress for ${String(Math.round(stalled / 1000))} s` : undefined;
  }

  /** Whether the helper could work at once: it is issued every token, and knows the cluster. */
  isPrepared(): boolean {
    return this.#unprepared() === undefined;
  }

  /**
   * Whether to ask the holder for the Lease. A helper of another pod template does, once it is prepared: the rollout that it
   * belongs to goes on when it is ready, and it is only when it has written everything itself.
   */
  asksForLease(): boolean {
    if (this.#wasReady || this.#source.sinceHandOver() < handOverRest) return false;
    return this.isPrepared() && this.#source.holder()?.template !== this.#config.template;
  }

  /**
   * What the helper still waits for; undefined when it is ready. It waits for every token, issued to its own identity. If it holds
   * the Lease, it waits until every namespace was reconciled; a failing one does not matter unless it is the helper's own. If it
   * stands by, it waits until it knows the cluster, and until a helper of its own pod template works. Both wait until the last
   * helper has cleaned up: afterwards its rights may be taken away. Once ready it stays ready.
   */
  readinessError(): string | undefined {
    if (this.#wasReady) return undefined;
    const missing = this.#missing();
    this.#wasReady = missing === undefined;
    return missing;
  }

  /** Whether the helper works, and has written everything under its own identity. */
  hasWritten(): boolean {
    return this.#source.isLeading() && this.#unfinished() === undefined;
  }

  /** Whether the helper works, every namespace is synced and no token has expired, at this moment. */
  isFullySynced(): boolean {
    if (!this.#source.isLeading()) return false;
    const [tokens, states, now] = [this.#source.tokens(), this.#source.states(), this.#source.now()];
    // A token of unknown expiry, which is NaN, counts as alive.
    const isAlive = (name: string): boolean => tokens.has(name) && !((tokens.get(name)?.expiresAt ?? 0) <= now);
    return this.#tokenNames.every(isAlive) && this.#source.targets().every((one) => states.get(one) === "synced");
  }

  #missing(): string | undefined {
    const missing = this.#source.isLeading() ? this.#unfinished() : this.#notStandingBy();
    const cleaner = this.#source.holder()?.cleaner ?? "";
    return missing ?? (cleaner === "" ? undefined : `${cleaner}, of another pod template, has not cleaned up yet`);
  }

  #missingToken(): string | undefined {
    const tokens = this.#source.tokens();
    // A token of another identity does not prove that this one gets any, and the last helper ends as soon as this one is ready.
    const name = this.#tokenNames.find((one) => !wasIssued(tokens.get(one)));
    return name === undefined ? undefined : `there is no authorization token for ${name} yet`;
  }

  #unprepared(): string | undefined {
    const unlisted = this.#source.unlisted();
    return this.#missingToken() ?? (unlisted > 0 ? `collections not listed yet: ${String(unlisted)}` : undefined);
  }

  #notStandingBy(): string | undefined {
    const holder = this.#source.holder();
    if (holder === undefined) return "no helper holds the lease yet";
    const waits =
      holder.template === this.#config.template
        ? undefined
        : `${holder.holder}, of another pod template, still holds the lease`;
    return this.#unprepared() ?? waits;
  }

  #unfinished(): string | undefined {
    const states = this.#source.states();
    const missing = this.#missingToken();
    if (missing !== undefined) return missing;
    const pending = this.#source.targets().filter((one) => (states.get(one) ?? "pending") === "pending");
    if (pending.length > 0) return `namespaces not reconciled yet: ${String(pending.length)}`;
    const own = states.get(this.#config.namespace);
    return own === "synced" ? undefined : "the helper's own namespace is not synced yet";
  }
}
