// The controller: whatever changes, in the cluster or in the tokens, every namespace that it concerns is compared with what
// should be there, and what is not right is written. A namespace is one piece of work, and none holds up another.
import type { Outcome, Writer } from "./writer.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { desiredSecrets } from "../resources/secrets.ts";
import { firstEnd, type Tokens } from "../ecr/token.ts";
import { formatDate } from "../runtime/logger.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { ClusterCache } from "../cache/cluster-cache.ts";
import { WorkQueue } from "./work-queue.ts";
import { maximumObjectRetry } from "../runtime/backoff.ts";
import { objectsOf, planNamespace, type Desired, type LastConverged, type Action } from "./plan.ts";
import { FailureTracker, type FailureTrackerDependencies } from "./failure-tracker.ts";
import type { SyncState } from "../cache/informers.ts";
import type { NamespaceState } from "../observability/status.ts";

export interface ControllerDependencies extends FailureTrackerDependencies {
  readonly writer: Pick<Writer, "applySecret" | "removeSecret" | "applyAccount" | "releaseAccount">;
  readonly metrics: FailureTrackerDependencies["metrics"] & Pick<Metrics, "applied">;
  /** How many namespaces are worked on at a time. */
  readonly concurrency: () => number;
}

export interface Controller {
  /** Something may have to be done in a namespace. `urgent` work comes before the rest. */
  readonly enqueue: (namespace: string, urgent: boolean) => void;
  /** There are new tokens: everything is compared with them. */
  readonly refresh: (tokens: Tokens) => void;
  /** How it stands with each namespace that gets something. */
  readonly states: () => Map<string, NamespaceState>;
  /** How long something was due and nothing was done, in milliseconds. */
  readonly stalled: () => number;
}

/** Starts with nothing to do. */
export function createController(
  config: HelperConfig,
  observed: ClusterCache,
  knowledgeOf: (namespace: string) => SyncState,
  effects: ControllerDependencies,
  signal: AbortSignal,
): Controller {
  const { writer, log, metrics, clock, concurrency } = effects;
  const failures = new FailureTracker(effects);
  const states = new Map<string, NamespaceState>();
  const lastConverged = new Map<string, LastConverged>();
  /** The uid of each namespace that was worked on; undefined where namespaces are not followed. */
  const uids = new Map<string, string | undefined>();
  let desired: Desired = new Map();
  let tokens: Tokens = new Map();
  let announce = false;

  const perform = async (namespace: string, task: Action): Promise<Outcome> => {
    switch (task.kind) {
      case "applySecret":
        return writer.applySecret(namespace, task.secret, task.seen, signal);
      case "removeSecret":
        return writer.removeSecret(namespace, task.name, task.seen, signal);
      case "applyAccount":
        return writer.applyAccount(namespace, task.entries, signal);
      case "releaseAccount":
        return writer.releaseAccount(namespace, signal);
    }
  };

  /** Gives whether the object is right now. */
  const attempt = async (namespace: string, task: Action): Promise<boolean> => {
    const { object, drift } = task;
    const wait = failures.remainingBackoff(namespace, object);
    if (wait > 0) {
      queue.addAfter(namespace, wait);
      return false;
    }
    try {
      const outcome = await perform(namespace, task);
      metrics.applied(object, outcome);
      const text = `${object} ${outcome === "created" ? "configured" : outcome} in namespace ${namespace}`;
      log(outcome === "unchanged" ? "debug" : "info", text, { namespace, object, outcome });
      if (drift !== undefined) failures.repaired(namespace, object, drift);
      else if (outcome === "removed") failures.removed(namespace, object);
      else failures.written(namespace, object);
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      const next = failures.failed(namespace, object, error);
      if (next !== undefined) queue.addAfter(namespace, next);
      return false;
    }
  };

  const objects = objectsOf(config);
  /** There is nothing to do in a namespace. */
  const leave = (namespace: string): void => {
    states.delete(namespace);
    lastConverged.delete(namespace);
    failures.forgetUncontested(namespace, objects);
  };
  /** A namespace is gone. */
  const forget = (namespace: string): void => {
    leave(namespace);
    uids.delete(namespace);
    failures.forget(namespace, objects);
  };

  /** A namespace that took the place of another of its name, even unseen, begins with a clean slate. */
  const forgetIfRecreated = (namespace: string): void => {
    const uid = observed.namespaces.get(namespace)?.uid;
    if (uids.get(namespace) !== uid) forget(namespace);
    uids.set(namespace, uid);
  };

  const isThere = (namespace: string, object: string): boolean => {
    const [kind, name = ""] = object.split("/");
    return (kind === "secret" ? observed.secrets.get(name) : observed.accounts)?.get(namespace) !== undefined;
  };

  /** Whether anything can be decided about a namespace; says how it stands with it when not. */
  const isDecidable = (namespace: string, isTarget: boolean): boolean => {
    const knowledge = knowledgeOf(namespace);
    if (knowledge === "known" && (!isTarget || desired.size > 0)) return true;
    if (isTarget) states.set(namespace, knowledge === "unreadable" ? "failing" : "pending");
    return false;
  };

  const reconcileNamespace = async (namespace: string): Promise<void> => {
    const role = observed.kindOf(namespace);
    if (role === "gone") return void forget(namespace);
    forgetIfRecreated(namespace);
    const isTarget = role !== "none";
    if (!isDecidable(namespace, isTarget)) return;
    const wrong = new Set<string>();
    const comparedWith = desired;
    for (const task of planNamespace(config, observed, comparedWith, namespace, lastConverged.get(namespace))) {
      if (!(await attempt(namespace, task))) wrong.add(task.object);
    }
    if (isTarget) {
      const right = objects.filter((object) => !wrong.has(object) && isThere(namespace, object));
      // The same list for all that are wholly right, which are nearly all of thousands.
      const kept = right.length === objects.length ? objects : right;
      lastConverged.set(namespace, { objects: kept, desired: comparedWith });
    }
    if (!isTarget && wrong.size === 0) leave(namespace);
    else states.set(namespace, wrong.size === 0 ? "synced" : "failing");
  };

  /** Never rejects: a mistake in here is told, and the namespace's turn comes again. */
  const reconcile = async (namespace: string): Promise<void> =>
    reconcileNamespace(namespace).catch((error: unknown) => {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      log("error", `the work on namespace ${namespace} ended half-way: ${reason}`, { namespace });
      states.set(namespace, "failing");
      queue.addAfter(namespace, maximumObjectRetry);
    });

  const idle = (): void => {
    const end = firstEnd(tokens.values());
    const isLooked = (namespace: string): boolean => ["synced", "failing"].includes(states.get(namespace) ?? "pending");
    // Its own namespace is always looked at; without it the others are not even known.
    if (announce && end !== undefined && [config.namespace, ...observed.targets()].every(isLooked)) {
      announce = false;
      log("info", `the secret will expire at ${formatDate(end)}.`, { expiresAt: end.toISOString() });
    }
  };

  const queue = new WorkQueue(reconcile, { clock, concurrency, idle });
  signal.addEventListener("abort", () => queue.close());

  return {
    enqueue: (namespace, urgent) => queue.add(namespace, urgent),
    refresh: (next) => {
      tokens = next;
      desired = new Map(desiredSecrets(config, next).map((secret) => [secret.name, secret]));
      announce = true;
      // The next helper finds the tokens there: should this one end now, ECR is not asked again.
      queue.add(config.namespace, true);
      for (const namespace of new Set([...observed.targets(), ...observed.namespacesWithObjects()]))
        queue.add(namespace, false);
    },
    states: () => states,
    stalled: () => queue.stalled(),
  };
}
