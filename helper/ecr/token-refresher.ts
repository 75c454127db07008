// Keeps the authorization tokens valid: requests each at half of its life, and backs off exponentially while that fails.
import { retryDelay } from "../runtime/backoff.ts";
import { withTimeout } from "../runtime/clock.ts";
import { retryAfterOf } from "../runtime/retry-after.ts";
import { firstLine, formatSeconds } from "../shared/messages.ts";
import { isAccessDenied, iamPropagationMs } from "./access-denied.ts";
import type { TokenRefresherDependencies } from "./dependencies.ts";
import {
  batchWindowMs,
  coalesceFraction,
  maximumRetryDelay,
  propagationRetry,
  refreshDelay,
  requestTimeout,
} from "./refresh-schedule.ts";
import { wasIssued, type AuthorizationToken, type Tokens } from "./token.ts";

interface TokenState {
  readonly name: string;
  /** When to request it, in milliseconds since 1970. */
  due: number;
  /** Whether this identity has ever been issued this token: then no denial comes from new permissions. */
  everIssued: boolean;
  /** Denials in a row that may come from permissions that IAM still propagates. */
  denials: number;
  /** Other failures in a row. */
  failures: number;
}

/** `failing` is called after this many failures in a row. */
const failureThreshold = 5;
/**
 * Keeps the tokens of these names valid, starting with those that were restored, until the signal aborts. Never rejects. A
 * token stays in place until a new one replaces it, whatever fails.
 */
export async function runTokenRefresher(
  names: readonly string[],
  restored: Tokens,
  dependencies: TokenRefresherDependencies,
  signal: AbortSignal,
): Promise<void> {
  await new TokenRefresher(names, restored, dependencies, signal).run();
}

/**
 * Requests those of these tokens that were never issued to this identity, as `runTokenRefresher` does. Resolves once each of them
 * was, or the signal aborts. Never rejects.
 */
export async function requestMissingTokens(
  names: readonly string[],
  restored: Tokens,
  dependencies: TokenRefresherDependencies,
  signal: AbortSignal,
): Promise<void> {
  const missing = names.filter((name) => !wasIssued(restored.get(name)));
  await new TokenRefresher(missing, restored, dependencies, signal).run((states) =>
    states.every(({ everIssued }) => everIssued),
  );
}

class TokenRefresher {
  readonly #dependencies: TokenRefresherDependencies;
  readonly #signal: AbortSignal;
  readonly #startedAt: number;
  readonly #tokens: Map<string, AuthorizationToken>;
  readonly #states: readonly TokenState[];
  /** Whether there are tokens that `refreshed` was not called with. */
  #hasUnpublished: boolean;

  constructor(
    names: readonly string[],
    restored: Tokens,
    dependencies: TokenRefresherDependencies,
    signal: AbortSignal,
  ) {
    [this.#dependencies, this.#signal] = [dependencies, signal];
    this.#startedAt = dependencies.clock.now();
    this.#tokens = new Map(restored);
    this.#states = names.map((name) => this.#initialState(name));
    this.#hasUnpublished = restored.size > 0;
  }

  /** Runs until the signal aborts or `isDone`. */
  async run(isDone: (states: readonly TokenState[]) => boolean = () => false): Promise<void> {
    const { clock } = this.#dependencies;
    while (!this.#signal.aborted && !isDone(this.#states)) {
      const due = this.#dueStates();
      if (due.length > 0 || this.#hasUnpublished) await this.#refreshBatch(due);
      if (isDone(this.#states)) return;
      const next = Math.min(...this.#states.map((state) => state.due));
      await clock.sleep(Math.max(0, next - clock.now()), this.#signal);
    }
  }

  #initialState(name: string): TokenState {
    const token = this.#tokens.get(name);
    const everIssued = wasIssued(token);
    return { name, due: token === undefined ? 0 : this.#dueOf(token), everIssued, denials: 0, failures: 0 };
  }

  /** When to replace a restored token. A time in the future comes from another clock: that token is due. */
  #dueOf({ issuedAt, expiresAt }: AuthorizationToken): number {
    return issuedAt > this.#startedAt
      ? this.#startedAt
      : issuedAt + refreshDelay(expiresAt - issuedAt, this.#dependencies.random());
  }

  /** The tokens to request now, if any is due: those, and others that soon will be, so that secrets are written once. */
  #dueStates(): readonly TokenState[] {
    const now = this.#dependencies.clock.now();
    if (!this.#states.some(({ due }) => due <= now)) return [];
    return this.#states.filter(({ name, due, failures, denials }) => {
      const isRetry = failures + denials > 0;
      // A restored token from the future would have waited less than no time.
      const waitingTime = Math.max(0, due - (this.#tokens.get(name)?.issuedAt ?? due));
      const slack = isRetry ? 0 : coalesceFraction * waitingTime;
      return due - slack <= now;
    });
  }

  /** Requests these tokens at once, and publishes those that arrive. */
  async #refreshBatch(states: readonly TokenState[]): Promise<void> {
    let cancel: (() => void) | undefined;
    const publish = (): void => {
      cancel?.();
      cancel = undefined;
      this.#publish();
    };
    const publishSoon = (): void => {
      if (this.#hasUnpublished) cancel ??= this.#dependencies.clock.after(batchWindowMs, publish);
    };
    publishSoon();
    await Promise.all(states.map(async (state) => this.#request(state).then(publishSoon)));
    publish();
  }

  #publish(): void {
    if (this.#hasUnpublished && !this.#signal.aborted) this.#dependencies.refreshed(new Map(this.#tokens));
    this.#hasUnpublished = false;
  }

  /** Requests one token. Never rejects. */
  async #request(state: TokenState): Promise<void> {
    const { tokenSource, clock, random, requested } = this.#dependencies;
    const { name } = state;
    try {
      const timeout = requestTimeout(this.#remainingLife(name));
      const token = await withTimeout(timeout, clock, this.#signal, async (signal) => tokenSource(name, signal));
      this.#tokens.set(name, token);
      this.#hasUnpublished = true;
      Object.assign(state, { everIssued: true, denials: 0, failures: 0 });
      state.due = clock.now() + refreshDelay(token.expiresAt - clock.now(), random());
      requested(name, "success");
    } catch (error) {
      if (!this.#signal.aborted) this.#fail(state, error);
    }
  }

  /** Of the last token, in milliseconds; NaN where there is none, or its expiry is unknown. */
  #remainingLife(name: string): number {
    return (this.#tokens.get(name)?.expiresAt ?? Number.NaN) - this.#dependencies.clock.now();
  }

  #fail(state: TokenState, error: unknown): void {
    const { clock, random, requested } = this.#dependencies;
    const age = clock.now() - this.#startedAt;
    const mayBePropagating = isAccessDenied(error) && !state.everIssued && age < iamPropagationMs;
    const retry = mayBePropagating
      ? retryDelay(++state.denials, random(), propagationRetry)
      : retryDelay(++state.failures, random(), maximumRetryDelay(this.#remainingLife(state.name)));
    const wait = Math.max(retry, retryAfterOf(error));
    state.due = clock.now() + wait;
    requested(state.name, "failure");
    this.#log(state, error, wait, mayBePropagating);
  }

  #log({ name, failures }: TokenState, error: unknown, wait: number, mayBePropagating: boolean): void {
    const { log, failing, accessDeniedHint } = this.#dependencies;
    const kept = this.#tokens.has(name) ? "the last good token stays in place; " : "";
    const next = `${kept}trying again in ${formatSeconds(wait)}`;
    const reason = firstLine(error);
    if (mayBePropagating) {
      const cause = `${reason}; new permissions take AWS up to two minutes to propagate`;
      return void log("info", `no authorization token for ${name} yet: ${cause}; ${next}`, { region: name });
    }
    const text = `no authorization token for ${name}: ${reason}`;
    const explained = isAccessDenied(error) ? `${text}; ${accessDeniedHint(name)}` : text;
    log("error", `${explained}; ${next}`, { region: name });
    if (failures === failureThreshold) failing(name, explained);
  }
}
