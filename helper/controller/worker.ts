// What a helper does with the Lease and without it: the one that holds it keeps the tokens and all namespaces, the others only prepare.
import type { ClusterCache } from "../cache/cluster-cache.ts";
import type { Informers } from "../cache/informers.ts";
import { keptHash } from "../cache/successor.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { accessDeniedHint } from "../ecr/access-denied.ts";
import { ecrTokenSource } from "../ecr/client.ts";
import type { TokenRefresherDependencies } from "../ecr/dependencies.ts";
import { requestMissingTokens, runTokenRefresher } from "../ecr/token-refresher.ts";
import { newerTokens, type Tokens } from "../ecr/token.ts";
import { leaseTimes } from "../election/lease.ts";
import type { Term } from "../election/term.ts";
import type { PartialObjectMetadata } from "../kube/types.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { NamespaceState } from "../observability/status.ts";
import { Cleaner, writeUntilLost, type CleanerDependencies } from "./cleaner.ts";
import { Controller } from "./controller.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { restoreTokens } from "./restore-tokens.ts";
import { Writer } from "./writer.ts";

/** What the worker acts through. */
export interface WorkerDependencies
  extends Omit<ControllerDependencies, "writer" | "metrics" | "idle">, CleanerDependencies {
  readonly metrics: Metrics;
  /** Whether everything was written, so that the last helper can remove what this one does not keep. */
  readonly hasWritten: () => boolean;
  /** Called when tokens arrive while the helper stands by. */
  readonly prepared: () => void;
}

/**
 * How long writes that were begun may take to end before the Lease is given up, in milliseconds: for a helper that ends, and for
 * one that hands it over. What the API server still holds back afterwards may be served when the next helper writes already.
 */
const drainTimeout = { end: 500, handover: leaseTimes.duration - leaseTimes.renewDeadline } as const;

/** Works during terms, one after the other. */
export class Worker {
  readonly #config: HelperConfig;
  readonly #cache: ClusterCache;
  readonly #informers: Informers;
  readonly #dependencies: WorkerDependencies;
  readonly #writer: Writer;
  readonly #cleaner: Cleaner;
  readonly #tokenSource;
  readonly #tokenNames: readonly string[];
  #tokens: Tokens = new Map();
  #controller: Controller | undefined;
  /** Ends the preparation; undefined where none is needed or begun. */
  #preparation: AbortController | undefined;

  constructor(config: HelperConfig, cache: ClusterCache, informers: Informers, dependencies: WorkerDependencies) {
    [this.#config, this.#cache, this.#informers, this.#dependencies] = [config, cache, informers, dependencies];
    this.#tokenNames = [...config.allTokenRequests.keys()];
    this.#writer = new Writer(dependencies.writes, config, cache);
    this.#cleaner = new Cleaner(config, cache, dependencies, this.#writer);
    this.#tokenSource = ecrTokenSource(config);
  }

  /** The tokens that this helper has. */
  get tokens(): Tokens {
    return this.#tokens;
  }

  /** The state of each namespace in which the helper keeps objects; empty without the Lease. */
  states(): ReadonlyMap<string, NamespaceState> {
    return this.#controller?.states() ?? new Map<string, NamespaceState>();
  }

  /** How long work has been due without any progress, in milliseconds. */
  stalled(): number {
    return this.#controller?.stalled() ?? 0;
  }

  /** Has a namespace reconciled, if the helper holds the Lease; otherwise it is when it does. */
  enqueue(namespace: string, urgent: boolean): void {
    this.#controller?.enqueue(namespace, urgent);
  }

  /** Has every namespace compared with the stack's owners as the cache has them now. */
  refreshOwners(): void {
    this.#controller?.refreshOwners();
  }

  /** Sees to it, once, that this identity is issued every token, without writing any. The signal ends that. Never rejects. */
  async prepare(signal: AbortSignal): Promise<void> {
    if (this.#preparation !== undefined) return;
    this.#preparation = new AbortController();
    const either = AbortSignal.any([signal, this.#preparation.signal]);
    const take = (tokens: Tokens): void => {
      this.#tokens = newerTokens(this.#tokens, tokens);
      this.#dependencies.prepared();
    };
    take(await this.#restore(either));
    await requestMissingTokens(this.#tokenNames, this.#tokens, this.#refresherCalls(take), either);
  }

  /**
   * Works until the term is lost or wanted, or `stop` aborts, and gives the Lease up. Where it was lent, only cleans up. Resolves to
   * whether it has seen, at its end, to what the next helper will not keep. Never rejects.
   */
  async work(term: Term, stop: AbortSignal): Promise<boolean> {
    const { lentFor } = term;
    if (lentFor !== undefined) {
      await this.#cleaner.cleanUpForLender(term, lentFor);
      return stop.aborted;
    }
    const lend = await this.#keep(term, stop);
    const isLast = stop.aborted && term.isValid();
    if (isLast) await this.#cleaner.cleanUpAtEnd(term);
    const cleansUp = !isLast && term.wanted.aborted && term.isValid() && (await this.#cleaner.isNeededLater());
    await term.end(lend ? { cleansUp, written: keptHash(this.#config) } : { cleansUp });
    return isLast;
  }

  /** Removes what the next helper does not keep, for a helper that ended while another one worked. Never rejects. */
  async cleanUp(acquire: () => Promise<Term | undefined>): Promise<void> {
    await this.#cleaner.borrowAndCleanUp(acquire);
  }

  /** Keeps the tokens and all namespaces until the Lease has to be given up. Resolves to whether it is to be lent to the cleaner. */
  async #keep(term: Term, stop: AbortSignal): Promise<boolean> {
    this.#preparation?.abort();
    const { writes, metrics, log, hasWritten } = this.#dependencies;
    const [writing, finished] = [writeUntilLost(writes, term), new AbortController()];
    log("info", "holds the lease, and works");
    const idle = (): void => {
      if (term.cleaner !== "" && hasWritten()) finished.abort();
    };
    const syncStateOf = this.#informers.syncStateOf.bind(this.#informers);
    const dependencies = { ...this.#dependencies, writer: this.#writer, idle };
    const controller = new Controller(this.#config, this.#cache, syncStateOf, dependencies, writing.signal);
    this.#controller = controller;
    await this.#refresh(controller, AbortSignal.any([stop, term.wanted, term.lost, finished.signal]));
    await Promise.race([controller.close(), this.#drainTime(writing.signal, stop)]);
    writing.abort();
    this.#controller = undefined;
    // A helper that lost the Lease before it had every token prepares once more.
    this.#preparation = undefined;
    metrics.clearTokenExpiry();
    return finished.signal.aborted && !stop.aborted;
  }

  /** Resolves when the Lease has to be given up, or when the signal aborts because no write is left. */
  async #drainTime(writing: AbortSignal, stop: AbortSignal): Promise<void> {
    const { clock } = this.#dependencies;
    if (!stop.aborted) await clock.sleep(drainTimeout.handover, AbortSignal.any([writing, stop]));
    if (stop.aborted) await clock.sleep(drainTimeout.end, writing);
  }

  async #refresh(controller: Controller, signal: AbortSignal): Promise<void> {
    const take = (tokens: Tokens): void => {
      this.#tokens = tokens;
      this.#dependencies.metrics.setTokenExpiry(tokens);
      controller.refresh(tokens);
    };
    // What the namespaces have comes first, whoever requested it: this helper's own token may be revoked by now.
    const known = new Map([...this.#tokens, ...(await this.#restore(signal))]);
    await runTokenRefresher(this.#tokenNames, known, this.#refresherCalls(take), signal);
  }

  async #restore(signal: AbortSignal): Promise<Tokens> {
    const { kube, clock, random, log } = this.#dependencies;
    const isIntact = (name: string, found: PartialObjectMetadata): boolean =>
      this.#cache.projectSecret(name, found).modifiedBy === undefined;
    return restoreTokens(this.#config, kube, { clock, random, isIntact, log }, signal);
  }

  #refresherCalls(refreshed: (tokens: Tokens) => void): TokenRefresherDependencies {
    const { clock, random, log, metrics, warn } = this.#dependencies;
    const { namespace, deployment } = this.#config;
    return {
      clock,
      random,
      log,
      tokenSource: this.#tokenSource,
      refreshed,
      requested: (name, result) => metrics.countTokenRequest(name, result),
      failing: (_, reason) => warn(namespace, { kind: "Deployment", name: deployment }, "NoAuthorizationToken", reason),
      accessDeniedHint: (name) => accessDeniedHint(this.#config, name),
    };
  }
}
