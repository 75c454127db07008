// What went wrong with which object lately: how long it is left alone for that, and what is said of it.
import { TerminalError } from "./writer.ts";
import { KubeError, isConflict, isNamespaceGone, isTransientError } from "../kube/errors.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/logger.ts";
import { formatSeconds, errorMessage } from "../shared/messages.ts";
import type { Metrics } from "../observability/metrics.ts";
import { retryAfterOf } from "../runtime/retry-after.ts";
import { contestMemory, maximumObjectRetry, repairDelay, retryDelay, serverRetryLimit } from "../runtime/backoff.ts";

export interface FailureTrackerDependencies {
  /** Makes something visible on the object itself: an Event of type Warning. */
  readonly warn: (namespace: string, object: string, reason: string, message: string) => void;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "failed" | "drifted">;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

interface FailureRecord {
  /** In a row, and of one sort. */
  failures: number;
  /** Whether they were of the sort that may pass any moment. */
  isTransient: boolean;
  /** How often it was put back since it was last left alone for long, and when it was last. */
  repairs: number;
  repairedAt: number;
  /** It is not written sooner, in milliseconds since 1970. */
  notBefore: number;
  /** What the log said last: it does not repeat itself. */
  lastReported: string;
}

/** After so many repairs in a row somebody else wants the last word, and people should know. */
const contestedThreshold = 3;
/** To be overtaken by somebody else's write is no failure until it has happened so often in a row. */
const conflictThreshold = 3;

/** An object is known by its namespace and by its kind and name as kubectl shows them, `secret/ecr-creds`. */
export class FailureTracker {
  readonly #dependencies: FailureTrackerDependencies;
  readonly #records = new Map<string, FailureRecord>();
  /** How many of them failed at their last attempt. */
  #failing = 0;

  constructor(effects: FailureTrackerDependencies) {
    this.#dependencies = effects;
  }

  /** How long an object is still to be left alone, in milliseconds; 0 when it may be written. */
  remainingBackoff(namespace: string, object: string): number {
    const notBefore = this.#records.get(`${namespace}/${object}`)?.notBefore ?? -Infinity;
    return Math.max(0, notBefore - this.#dependencies.clock.now());
  }

  /** An object was written, as it only had to be. */
  written(namespace: string, object: string): void {
    const trouble = this.#records.get(`${namespace}/${object}`);
    if (trouble !== undefined) this.#clearFailures(trouble);
  }

  /** An object was taken out of where it is not meant to be. Who puts it there again and again is met more and more slowly. */
  removed(namespace: string, object: string): void {
    const trouble = this.#clearFailures(this.#recordOf(namespace, object));
    this.#backOff(trouble, trouble.repairs);
  }

  /** An object was put back after what somebody else did to it. */
  repaired(namespace: string, object: string, drift: string): void {
    const { metrics, log, warn } = this.#dependencies;
    const trouble = this.#clearFailures(this.#recordOf(namespace, object));
    this.#backOff(trouble, trouble.repairs + 1);
    metrics.drifted(object);
    log("warn", `${object} in namespace ${namespace} ${drift}; it was put back`, { namespace, object });
    if (trouble.repairs !== contestedThreshold) return;
    const text = `${object} ${drift}, ${String(contestedThreshold)} times in a row. It is put back more and more slowly`;
    log("error", `${text} in namespace ${namespace}`, { namespace, object });
    warn(namespace, object, "Contested", text);
  }

  /** An object could not be written. Gives how long to wait for the next attempt, in milliseconds; undefined for none. */
  failed(namespace: string, object: string, error: unknown): number | undefined {
    const { clock, random, metrics, log } = this.#dependencies;
    const trouble = this.#recordOf(namespace, object);
    const reason = errorMessage(error);
    if (error instanceof TerminalError) {
      // A watch or other tokens will tell when it has changed: until then it is no use to try. What becomes so again and again
      // is somebody's doing.
      metrics.failed(object, error.reason);
      this.#backOffOnce(trouble);
      this.#report(namespace, object, trouble, { reason, next: "", event: error.reason });
      return undefined;
    }
    // Of two that wrote at once the other may be done any moment, too.
    const mayPass = isTransientError(error) || isConflict(error);
    if (trouble.failures === 0) this.#failing++;
    // What an API server that was unwell for long says of the object itself is news, and not the end of a long row.
    trouble.failures = trouble.isTransient === mayPass ? trouble.failures + 1 : 1;
    trouble.isTransient = mayPass;
    const maximum = mayPass ? serverRetryLimit(this.#failing) : maximumObjectRetry;
    const wait = Math.max(retryAfterOf(error), retryDelay(trouble.failures, random(), maximum));
    trouble.notBefore = clock.now() + wait;
    if (isNamespaceGone(error) || (isConflict(error) && trouble.failures < conflictThreshold)) {
      log("debug", `${object} in namespace ${namespace}: ${reason}`, { namespace, object });
      return wait;
    }
    metrics.failed(object, reasonLabel(error));
    const event = isClientError(error) ? "ApplyFailed" : undefined;
    this.#report(namespace, object, trouble, { reason, next: `; trying again in ${formatSeconds(wait)}`, event });
    return wait;
  }

  /** Forgets objects in a namespace where the helper has nothing to do, but for those that somebody else does not leave alone. */
  forgetUncontested(namespace: string, objects: readonly string[]): void {
    const now = this.#dependencies.clock.now();
    const isCalm = (object: string): boolean =>
      now - (this.#records.get(`${namespace}/${object}`)?.repairedAt ?? -Infinity) > contestMemory;
    this.forget(namespace, objects.filter(isCalm));
  }

  /** Forgets objects in a namespace that is gone. */
  forget(namespace: string, objects: readonly string[]): void {
    for (const object of objects) {
      const key = `${namespace}/${object}`;
      if ((this.#records.get(key)?.failures ?? 0) > 0) this.#failing--;
      this.#records.delete(key);
    }
  }

  #recordOf(namespace: string, object: string): FailureRecord {
    const key = `${namespace}/${object}`;
    const known = this.#records.get(key);
    if (known !== undefined) return known;
    const trouble = {
      failures: 0,
      isTransient: false,
      repairs: 0,
      repairedAt: -Infinity,
      notBefore: -Infinity,
      lastReported: "",
    };
    this.#records.set(key, trouble);
    return trouble;
  }

  /** Somebody else had a hand in it: it is left alone as long as after so many repairs. */
  #backOff(trouble: FailureRecord, repairs: number): void {
    const { clock, random } = this.#dependencies;
    trouble.repairs++;
    trouble.repairedAt = clock.now();
    trouble.notBefore = clock.now() + repairDelay(repairs, random());
  }

  #backOffOnce(trouble: FailureRecord): void {
    if (trouble.lastReported === "") this.#backOff(trouble, trouble.repairs);
  }

  /** It is written now, and if it was left alone for long, nobody contests it any more. */
  #clearFailures(trouble: FailureRecord): FailureRecord {
    if (this.#dependencies.clock.now() - trouble.repairedAt > contestMemory) trouble.repairs = 0;
    if (trouble.failures > 0) this.#failing--;
    return Object.assign(trouble, { failures: 0, lastReported: "" });
  }

  #report(namespace: string, object: string, trouble: FailureRecord, { reason, next, event }: Message): void {
    const text = `${object} failed in namespace ${namespace}: ${reason}${next}`;
    this.#dependencies.log(trouble.lastReported === reason ? "debug" : "error", text, { namespace, object });
    if (trouble.lastReported === "" && event !== undefined) this.#dependencies.warn(namespace, object, event, reason);
    trouble.lastReported = reason;
  }
}

interface Message {
  readonly reason: string;
  readonly next: string;
  /** The reason of the Event; undefined for none. */
  readonly event: string | undefined;
}

/** Whether a failure tells something about the object: not that the API server is unwell, which then needs no Events. */
const isClientError = (error: unknown): boolean =>
  error instanceof KubeError && error.status >= 400 && error.status < 500 && error.status !== 429;

/** A word for a failure's reason that there are few of. */
const reasonLabel = (error: unknown): string => {
  if (!(error instanceof KubeError)) return "Network";
  return error.reason === "" ? `Status${String(error.status)}` : error.reason;
};
