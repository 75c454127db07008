// The controller: whenever the cluster or the tokens change, it compares each namespace concerned with the desired state and
// writes what differs. Each namespace is reconciled independently, so none holds up another.
import type { ClusterCache } from "../cache/cluster-cache.ts";
import type { SyncState } from "../cache/informers.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import type { Tokens } from "../ecr/token.ts";
import { formatRef, type ObjectRef } from "../kube/object-ref.ts";
import type { NamespaceState } from "../observability/status.ts";
import { maximumObjectRetry } from "../runtime/backoff.ts";
import { AccountPace } from "./account-pace.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { ExpiryLog } from "./expiry-log.ts";
import { FailureTracker } from "./failure-tracker.ts";
import type { Attempts, DesiredIn, LastConverged } from "./actions.ts";
import { Planner, type Action } from "./plan.ts";
import { perform } from "./perform.ts";
import { WorkQueue } from "./work-queue.ts";
import type { Outcome } from "./writer.ts";

/** Reconciles namespaces until the signal aborts. It starts with an empty queue and without tokens. */
export class Controller {
  readonly #config: HelperConfig;
  readonly #cache: ClusterCache;
  readonly #syncStateOf: (namespace: string) => SyncState;
  readonly #dependencies: ControllerDependencies;
  readonly #signal: AbortSignal;
  readonly #planner: Planner;
  readonly #failures: FailureTracker;
  readonly #pace: AccountPace;
  readonly #expiryLog: ExpiryLog;
  readonly #queue: WorkQueue;
  readonly #states = new Map<string, NamespaceState>();
  readonly #lastConverged = new Map<string, LastConverged>();
  /** The uid of each namespace that was reconciled; undefined where namespaces are not watched. */
  readonly #uids = new Map<string, string | undefined>();
  #tokens: Tokens = new Map();
  #desired: DesiredIn = () => new Map();

  constructor(
    config: HelperConfig,
    cache: ClusterCache,
    syncStateOf: (namespace: string) => SyncState,
    dependencies: ControllerDependencies,
    signal: AbortSignal,
  ) {
    [this.#config, this.#cache, this.#syncStateOf, this.#signal] = [config, cache, syncStateOf, signal];
    this.#dependencies = dependencies;
    this.#planner = new Planner(config, cache);
    [this.#failures, this.#pace] = [new FailureTracker(dependencies), new AccountPace(dependencies.clock)];
    const hasTokens = (namespace: string): boolean => this.#desired(namespace).size > 0;
    this.#expiryLog = new ExpiryLog(config, cache, this.#states, hasTokens, dependencies.log);
    const idle = (): void => {
      this.#expiryLog.report();
      dependencies.idle();
    };
    this.#queue = new WorkQueue(async (namespace) => this.#reconcile(namespace), { ...dependencies, idle });
    signal.addEventListener("abort", () => void this.#queue.close());
  }

  /** Begins nothing more. Resolves when what was begun has ended. */
  async close(): Promise<void> {
    await this.#queue.close();
  }

  /** Reconciles a namespace soon: before the others when `urgent`, otherwise after those that are queued already. */
  enqueue(namespace: string, urgent: boolean): void {
    this.#queue.add(namespace, urgent);
  }

  /** Takes new tokens, and enqueues every namespace to be compared with them. */
  refresh(tokens: Tokens): void {
    this.#tokens = tokens;
    this.#expiryLog.refresh(tokens);
    this.refreshOwners();
  }

  /** Takes the stack's owners as the cache has them now, and enqueues every namespace to be compared with them. */
  refreshOwners(): void {
    this.#desired = this.#planner.desired(this.#tokens);
    // The own namespace first: if this helper ends now, the next one restores the tokens from there and need not ask ECR.
    this.#queue.add(this.#config.namespace, true);
    // Those that have no credential do not wait for those that have one: a helper that takes over may be in the middle of a refresh.
    for (const namespace of this.#cache.concerned()) this.#queue.add(namespace, this.#isBare(namespace));
  }

  /** Whether a build namespace lacks an object. */
  #isBare(namespace: string): boolean {
    const exists = (object: ObjectRef): boolean => this.#cache.exists(namespace, object);
    return this.#cache.kindOf(namespace) === "build" && !this.#planner.objectsIn(namespace).every(exists);
  }

  /** The state of each namespace in which the helper keeps objects. */
  states(): ReadonlyMap<string, NamespaceState> {
    return this.#states;
  }

  /** How long work has been due without any progress, in milliseconds. */
  stalled(): number {
    return this.#queue.stalled();
  }

  /** Never rejects: after an error of the helper itself it logs the stack and tries the namespace again later. */
  async #reconcile(namespace: string): Promise<void> {
    await this.#reconcileNamespace(namespace).catch((error: unknown) => {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#dependencies.log("error", `internal error in namespace ${namespace}: ${reason}`, { namespace });
      this.#states.set(namespace, "failing");
      this.#queue.addAfter(namespace, maximumObjectRetry);
    });
  }

  async #reconcileNamespace(namespace: string): Promise<void> {
    const kind = this.#cache.kindOf(namespace);
    const isTarget = kind !== "none";
    if (kind === "gone") return void this.#forget(namespace);
    this.#forgetIfRecreated(namespace);
    if (!this.#canDecide(namespace, isTarget)) return;
    const [desired, last] = [this.#desired(namespace), this.#lastConverged.get(namespace)];
    const actions = this.#planner.planNamespace(namespace, desired, last);
    const { failed, isTurnOver } = await this.#attemptAll(namespace, actions);
    if (isTarget) this.#lastConverged.set(namespace, { objects: this.#planner.converged(namespace, failed), desired });
    if (!isTarget && failed.size === 0) this.#release(namespace);
    else if (!isTurnOver || (this.#states.get(namespace) ?? "pending") !== "pending")
      this.#states.set(namespace, failed.size === 0 ? "synced" : "failing");
    this.#failures.forgetGone(namespace, (object) => this.#planner.isKnown(namespace, object));
  }

  /** Performs actions in turn. Resolves to the objects that are not as desired now, and to whether the others have to wait for a next turn. */
  async #attemptAll(namespace: string, actions: readonly Action[]): Promise<Attempts> {
    const [since, failed] = [this.#dependencies.clock.uptime(), new Set<string>()];
    for (const [index, action] of actions.entries()) {
      const isPaced = action.isUnnamed === true && this.#failures.remainingBackoff(namespace, action.object) === 0;
      const wait = isPaced ? this.#pace.next(namespace, since) : 0;
      if (wait > 0) {
        this.#queue.addAfter(namespace, wait);
        for (const { object } of actions.slice(index)) failed.add(formatRef(object));
        return { failed, isTurnOver: this.#pace.isTurnOver(since) };
      }
      if (!(await this.#attempt(namespace, action))) failed.add(formatRef(action.object));
    }
    return { failed, isTurnOver: false };
  }

  /** Whether enough is known to decide about a namespace. If not, its state says why. */
  #canDecide(namespace: string, isTarget: boolean): boolean {
    const syncState = this.#syncStateOf(namespace);
    if (syncState === "known" && (!isTarget || this.#desired(namespace).size > 0)) return true;
    if (isTarget) this.#states.set(namespace, syncState === "unreadable" ? "failing" : "pending");
    return false;
  }

  /** Performs an action unless its object is backing off. Returns whether the object is as desired now. */
  async #attempt(namespace: string, action: Action): Promise<boolean> {
    const wait = this.#failures.remainingBackoff(namespace, action.object);
    if (wait > 0) {
      this.#queue.addAfter(namespace, wait);
      return false;
    }
    try {
      this.#recordSuccess(namespace, action, await perform(this.#dependencies.writer, namespace, action, this.#signal));
      return true;
    } catch (error) {
      if (this.#signal.aborted) return false;
      const next = this.#failures.failed(namespace, action.object, error);
      if (next !== undefined) this.#queue.addAfter(namespace, next);
      return false;
    }
  }

  #recordSuccess(namespace: string, { object, drift }: Action, outcome: Outcome): void {
    const [name, { metrics, log }] = [formatRef(object), this.#dependencies];
    metrics.applied(object, outcome);
    const text = `${name} ${outcome === "created" ? "configured" : outcome} in namespace ${namespace}`;
    log(outcome === "unchanged" ? "debug" : "info", text, { namespace, object: name, outcome });
    if (drift !== undefined && outcome !== "unchanged") this.#failures.repaired(namespace, object, drift);
    else if (outcome === "removed") this.#failures.removed(namespace, object);
    else this.#failures.written(namespace, object);
  }

  /** Forgets a namespace where the helper keeps nothing any more. */
  #release(namespace: string): void {
    this.#states.delete(namespace);
    this.#lastConverged.delete(namespace);
    this.#failures.forgetUncontested(namespace);
  }

  /** Forgets a namespace that no longer exists. */
  #forget(namespace: string): void {
    this.#release(namespace);
    this.#uids.delete(namespace);
    for (const memory of [this.#failures, this.#pace]) memory.forget(namespace);
  }

  /** A namespace that was deleted and created again starts without failures, even if no watch has shown its deletion. */
  #forgetIfRecreated(namespace: string): void {
    const uid = this.#cache.namespaces.get(namespace)?.uid;
    if (this.#uids.get(namespace) !== uid) this.#forget(namespace);
    this.#uids.set(namespace, uid);
  }
}
