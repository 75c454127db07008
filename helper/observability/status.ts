// How the helper is: alive, ready, all right. Told to the kubelet and to Prometheus.
import type { Tokens } from "../ecr/token.ts";

export interface StatusSource {
  readonly tokens: () => Tokens;
  /** The namespaces that get something. */
  readonly targets: () => readonly string[];
  readonly states: () => ReadonlyMap<string, NamespaceState>;
  /** How long something was due and nothing was done, in milliseconds. */
  readonly stalled: () => number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Without progress for so long, in milliseconds, while there is something to do, the helper is stuck. */
export const stuckAfter = 5 * 60_000;

export class Status {
  readonly #namespace: string;
  readonly #tokenNames: readonly string[];
  readonly #source: StatusSource;
  #wasReady = false;

  /** `namespace` is the helper's own. */
  constructor(namespace: string, tokenNames: readonly string[], source: StatusSource) {
    [this.#namespace, this.#tokenNames, this.#source] = [namespace, tokenNames, source];
  }

  /** Undefined when the helper is alive, else what is wrong. */
  livenessError(): string | undefined {
    const stalled = this.#source.stalled();
    return stalled > stuckAfter ? `nothing was done for ${String(Math.round(stalled / 1000))} s` : undefined;
  }

  /**
   * Undefined when the helper is ready, else what it waits for: every token, as its own identity was given it, and a
   * look at every namespace. One that fails is no reason to wait, unless it is the helper's own. Once ready it stays so.
   */
  readinessError(): string | undefined {
    if (this.#wasReady) return undefined;
    const missing = this.#missing();
    this.#wasReady = missing === undefined;
    return missing;
  }

  /** Whether every namespace is right and every token alive, at this moment. */
  isFullySynced(): boolean {
    const [tokens, states, now] = [this.#source.tokens(), this.#source.states(), this.#source.now()];
    // A token that does not say when it ends counts as alive.
    const isAlive = (name: string): boolean => tokens.has(name) && !((tokens.get(name)?.expiresAt ?? 0) <= now);
    return this.#tokenNames.every(isAlive) && this.#source.targets().every((one) => states.get(one) === "synced");
  }

  #missing(): string | undefined {
    const [tokens, states] = [this.#source.tokens(), this.#source.states()];
    // What another identity was given does not show that this one will be: the other one goes when this helper is ready.
    const name = this.#tokenNames.find((one) => !((tokens.get(one)?.issuedAt ?? 0) > 0));
    if (name !== undefined) return `there is no authorization token for ${name} yet`;
    const pending = this.#source.targets().filter((one) => (states.get(one) ?? "pending") === "pending");
    if (pending.length > 0) return `namespaces that were not looked at yet: ${String(pending.length)}`;
    const own = states.get(this.#namespace);
    return own === "synced" ? undefined : "the helper's own namespace is not synced yet";
  }
}

export type NamespaceState = "synced" | "pending" | "failing";
