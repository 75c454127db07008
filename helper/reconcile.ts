// The controller: whatever changes, in the cluster or in the tokens, every namespace that it concerns is compared with what
// should be there, and what is not right is written. A namespace is one piece of work, and none holds up another.
import { ForeignObjectError, isConflict, isNamespaceGone, type Outcome, type Writer } from "./apply.ts";
import type { Clock } from "./clock.ts";
import type { HelperConfig } from "./config.ts";
import { desiredSecrets, type Tokens } from "./desired.ts";
import { KubeError } from "./kube.ts";
import { formatDate, inSeconds, reasonOf, type Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { Observed } from "./observed.ts";
import { WorkQueue } from "./queue.ts";
import { contestMemory, maximumObjectRetry, repairDelay, retryDelay } from "./schedule.ts";
import { tasksOf, type Desired, type Task } from "./tasks.ts";
import { firstEnd } from "./token.ts";

export interface Effects {
  readonly writer: Pick<Writer, "applySecret" | "removeSecret" | "applyAccount" | "releaseAccount">;
  /** Makes something visible on the object itself: an Event of type Warning. */
  readonly warn: (namespace: string, object: string, reason: string, message: string) => void;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "applied" | "failed" | "drifted">;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

export type State = "right" | "pending" | "failing";

export interface Controller {
  /** Something may have to be done in a namespace. `urgent` work comes before the rest. */
  readonly changed: (namespace: string, urgent: boolean) => void;
  /** There are new tokens: everything is compared with them. */
  readonly refresh: (tokens: Tokens) => void;
  /** How it stands with each namespace that gets something. */
  readonly states: () => Map<string, State>;
  /** How long something was due and nothing was done, in milliseconds. */
  readonly stalled: () => number;
}

/** What went wrong with an object lately. */
interface Trouble {
  failures: number;
  /** How often it was put back since it was last left alone for long, and when it was last. */
  repairs: number;
  repairedAt: number;
  /** It is not written sooner, in milliseconds since 1970. */
  notBefore: number;
  /** What the log said last: it does not repeat itself. */
  said: string;
}

/** How many namespaces are worked on at a time. More would add latency at the API server and nothing else. */
const concurrency = 16;
/** After so many repairs in a row somebody else wants the last word, and people should know. */
const contestedAfter = 3;
/** How long the work on one namespace may take, in milliseconds. Every call in it has a limit of its own. */
const workLimit = 120_000;

/** Whether all is known about a namespace that a decision needs, not yet, or it cannot be read now. */
export type Knowledge = "known" | "unknown" | "unreadable";

/** Starts with nothing to do. */
export function createController(
  config: HelperConfig,
  observed: Observed,
  knowledgeOf: (namespace: string) => Knowledge,
  effects: Effects,
  signal: AbortSignal,
): Controller {
  const { writer, log, metrics, clock, random } = effects;
  const states = new Map<string, State>();
  /** The objects that were right: what is missing of them later was deleted by somebody. */
  const settled = new Map<string, ReadonlySet<string>>();
  const troubles = new Map<string, Trouble>();
  let desired: Desired = new Map();
  let tokens: Tokens = new Map();
  let announce = false;

  const perform = async (namespace: string, task: Task, limit: AbortSignal): Promise<Outcome> => {
    switch (task.kind) {
      case "applySecret":
        return writer.applySecret(namespace, task.secret, task.seen, limit);
      case "removeSecret":
        return writer.removeSecret(namespace, task.name, task.seen, limit);
      case "applyAccount":
        return writer.applyAccount(namespace, task.entries, limit);
      case "releaseAccount":
        return writer.releaseAccount(namespace, limit);
    }
  };

  const troubleOf = (namespace: string, object: string): Trouble => {
    const key = `${namespace}/${object}`;
    const fresh = { failures: 0, repairs: 0, repairedAt: -Infinity, notBefore: -Infinity, said: "" };
    const trouble = troubles.get(key) ?? fresh;
    troubles.set(key, trouble);
    return trouble;
  };

  const repaired = (namespace: string, { object, drift }: Task, trouble: Trouble): void => {
    trouble.repairs++;
    trouble.repairedAt = clock.now();
    const wait = repairDelay(trouble.repairs, random());
    trouble.notBefore = clock.now() + wait;
    metrics.drifted(object);
    log("warn", `${object} in namespace ${namespace} ${String(drift)}; it was put back`, { namespace, object });
    if (trouble.repairs !== contestedAfter) return;
    const text = `${object} ${String(drift)}, ${String(contestedAfter)} times in a row. It is put back more and more slowly`;
    log("error", `${text} in namespace ${namespace}`, { namespace, object });
    effects.warn(namespace, object, "Contested", text);
  };

  const failed = (namespace: string, { object }: Task, trouble: Trouble, error: unknown): void => {
    const foreign = error instanceof ForeignObjectError;
    const wait = retryDelay(++trouble.failures, random(), maximumObjectRetry);
    // The watch tells when somebody else's object goes: until then it is no use to try.
    if (!foreign) trouble.notBefore = clock.now() + wait;
    if (!foreign) queue.addLater(namespace, wait);
    // What is written again because somebody else was faster, or what ends with its namespace, is no failure.
    if (isNamespaceGone(error) || (isConflict(error) && trouble.failures < 3)) {
      return void log("debug", `${object} in namespace ${namespace}: ${reasonOf(error)}`, { namespace, object });
    }
    const reason = reasonOf(error);
    metrics.failed(object, reasonWord(error));
    const next = foreign ? "" : `; trying again in ${inSeconds(wait)}`;
    const fields = { namespace, object };
    log(
      trouble.said === reason ? "debug" : "error",
      `${object} failed in namespace ${namespace}: ${reason}${next}`,
      fields,
    );
    if (trouble.said === "") effects.warn(namespace, object, foreign ? "ForeignObject" : "ApplyFailed", reason);
    trouble.said = reason;
  };

  /** Gives whether the object is right now. */
  const attempt = async (namespace: string, task: Task, limit: AbortSignal): Promise<boolean> => {
    const { object, drift } = task;
    const known = troubles.get(`${namespace}/${object}`);
    if (known !== undefined && known.notBefore > clock.now()) {
      queue.addLater(namespace, known.notBefore - clock.now());
      return false;
    }
    try {
      const outcome = await perform(namespace, task, limit);
      metrics.applied(object, outcome);
      const word = outcome === "created" ? "configured" : outcome;
      log(outcome === "unchanged" ? "debug" : "info", `${object} ${word} in namespace ${namespace}`, {
        namespace,
        object,
        outcome,
      });
      if (drift !== undefined) repaired(namespace, task, forgetOld(troubleOf(namespace, object)));
      else if (known !== undefined) forgetOld(known);
      return true;
    } catch (error) {
      if (!signal.aborted) failed(namespace, task, troubleOf(namespace, object), error);
      return false;
    }
  };

  const forgetOld = (trouble: Trouble): Trouble => {
    if (clock.now() - trouble.repairedAt > contestMemory) trouble.repairs = 0;
    return Object.assign(trouble, { failures: 0, said: "" });
  };

  const forget = (namespace: string): void => {
    states.delete(namespace);
    settled.delete(namespace);
    for (const object of objects) troubles.delete(`${namespace}/${object}`);
  };
  const objects = [...config.secretNames.map((name) => `secret/${name}`), `serviceaccount/${config.serviceAccount}`];

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

  const bringToDesired = async (namespace: string): Promise<void> => {
    const role = observed.roleOf(namespace);
    if (role === "gone") return void forget(namespace);
    const isTarget = role !== "none";
    if (!isDecidable(namespace, isTarget)) return;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(workLimit)]);
    const wrong = new Set<string>();
    for (const task of tasksOf(config, observed, desired, namespace, settled.get(namespace) ?? new Set())) {
      if (!(await attempt(namespace, task, limit))) wrong.add(task.object);
    }
    if (isTarget) {
      settled.set(namespace, new Set(objects.filter((object) => !wrong.has(object) && isThere(namespace, object))));
      states.set(namespace, wrong.size === 0 ? "right" : "failing");
    } else if (wrong.size === 0) {
      forget(namespace);
    }
  };

  /** Never rejects: a mistake in here is told, and the namespace's turn comes again. */
  const reconcile = async (namespace: string): Promise<void> =>
    bringToDesired(namespace).catch((error: unknown) => {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      log("error", `the work on namespace ${namespace} ended half-way: ${reason}`, { namespace });
      states.set(namespace, "failing");
      queue.addLater(namespace, maximumObjectRetry);
    });

  const idle = (): void => {
    const end = firstEnd(tokens.values());
    const isLooked = (namespace: string): boolean => ["right", "failing"].includes(states.get(namespace) ?? "pending");
    // Its own namespace is always looked at; without it the others are not even known.
    if (announce && end !== undefined && [config.namespace, ...observed.targets()].every(isLooked)) {
      announce = false;
      log("info", `the secret will expire at ${formatDate(end)}.`, { expiresAt: end.toISOString() });
    }
  };

  const queue = new WorkQueue(reconcile, { clock, concurrency, idle });
  signal.addEventListener("abort", () => queue.close());

  return {
    changed: (namespace, urgent) => queue.add(namespace, urgent),
    refresh: (next) => {
      tokens = next;
      desired = new Map(desiredSecrets(config, next).map((secret) => [secret.name, secret]));
      announce = true;
      for (const namespace of new Set([...observed.targets(), ...observed.seenIn()])) queue.add(namespace, false);
    },
    states: () => states,
    stalled: () => queue.stalled(),
  };
}

/** A word for a failure's reason that there are few of. */
const reasonWord = (error: unknown): string => {
  if (error instanceof ForeignObjectError) return "ForeignObject";
  if (error instanceof KubeError) return error.reason === "" ? `Status${String(error.status)}` : error.reason;
  return "Network";
};
