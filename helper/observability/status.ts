// Whether the helper is alive, ready and fully synced. The kubelet and Prometheus read it.
import type { Tokens } from "../ecr/token.ts";

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
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** After so long without progress while work is due, in milliseconds, the helper counts as stuck. */
export const stuckAfter = 5 * 60_000;

/** The answers to the kubelet's probes. */
export class Status {
  readonly #namespace: string;
  readonly #tokenNames: readonly string[];
  readonly #source: StatusSource;
  #wasReady = false;

  /** `namespace` is the helper's own, and `tokenNames` are those of all tokens that it requests. */
  constructor(namespace: string, tokenNames: readonly string[], source: StatusSource) {
    [this.#namespace, this.#tokenNames, this.#source] = [namespace, tokenNames, source];
  }

  /** Why the helper is not alive; undefined when it is. */
  livenessError(): string | undefined {
    const stalled = this.#source.stalled();
    return stalled > stuckAfter ? `no progress for ${String(Math.round(stalled / 1000))} s` : undefined;
  }

  /**
   * What the helper still waits for; undefined when it is ready. It waits for every token, issued to its own identity, and until
   * every namespace was reconciled. A failing namespace does not matter unless it is the helper's own. Once ready it stays ready.
   */
  readinessError(): string | undefined {
    if (this.#wasReady) return undefined;
    const missing = this.#missing();
    this.#wasReady = missing === undefined;
    return missing;
  }

  /** Whether every namespace is synced and no token has expired, at this moment. */
  isFullySynced(): boolean {
    const [tokens, states, now] = [this.#source.tokens(), this.#source.states(), this.#source.now()];
    // A token of unknown expiry, which is NaN, counts as alive.
    const isAlive = (name: string): boolean => tokens.has(name) && !((tokens.get(name)?.expiresAt ?? 0) <= now);
    return this.#tokenNames.every(isAlive) && this.#source.targets().every((one) => states.get(one) === "synced");
  }

  #missing(): string | undefined {
    const [tokens, states] = [this.#source.tokens(), this.#source.states()];
    // A restored token that was issued to another identity has `issuedAt` 0. It does not prove that this identity gets any, and the
    // last helper ends as soon as this one is ready.
    const name = this.#tokenNames.find((one) => !((tokens.get(one)?.issuedAt ?? 0) > 0));
    if (name !== undefined) return `there is no authorization token for ${name} yet`;
    const pending = this.#source.targets().filter((one) => (states.get(one) ?? "pending") === "pending");
    if (pending.length > 0) return `namespaces not reconciled yet: ${String(pending.length)}`;
    const own = states.get(this.#namespace);
    return own === "synced" ? undefined : "the helper's own namespace is not synced yet";
  }
}
