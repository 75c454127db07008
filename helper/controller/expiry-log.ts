// Logs when the first token expires, as the origin script did after each refresh.
import type { ClusterCache } from "../cache/cluster-cache.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { earliestExpiry, type Tokens } from "../ecr/token.ts";
import type { NamespaceState } from "../observability/status.ts";
import { formatDate, type Log } from "../runtime/logger.ts";

/** Logs the expiry of each set of tokens once, when all namespaces have been reconciled with them. */
export class ExpiryLog {
  readonly #config: HelperConfig;
  readonly #cache: ClusterCache;
  readonly #states: ReadonlyMap<string, NamespaceState>;
  readonly #hasTokens: (namespace: string) => boolean;
  readonly #log: Log;
  /** When the first of the current tokens expires; undefined when that is unknown or was logged. */
  #unlogged: Date | undefined;

  /** `hasTokens` says whether there is a token for a namespace: none waits for the role of another group. */
  constructor(
    config: HelperConfig,
    cache: ClusterCache,
    states: ReadonlyMap<string, NamespaceState>,
    hasTokens: (namespace: string) => boolean,
    log: Log,
  ) {
    [this.#config, this.#cache, this.#states, this.#log] = [config, cache, states, log];
    this.#hasTokens = hasTokens;
  }

  /** Takes new tokens. */
  refresh(tokens: Tokens): void {
    this.#unlogged = earliestExpiry(tokens.values());
  }

  /** Call when no namespace is waiting to be reconciled. */
  report(): void {
    const end = this.#unlogged;
    if (end === undefined) return;
    // The own namespace is always a target; until it has been reconciled, the others may not even be known.
    const targets = [this.#config.namespace, ...this.#cache.targets().filter(this.#hasTokens)];
    if (targets.some((namespace) => (this.#states.get(namespace) ?? "pending") === "pending")) return;
    this.#unlogged = undefined;
    this.#log("info", `the secret will expire at ${formatDate(end)}.`, { expiresAt: end.toISOString() });
  }
}
