// Tracks recent failures and outside changes of each object: how long it is left alone for them, and what is reported about it.
import { KubeError, isConflict, isNamespaceGone, isTransientError } from "../kube/errors.ts";
import { formatRef, type ObjectRef } from "../kube/object-ref.ts";
import type { Warn } from "../observability/event-recorder.ts";
import type { Metrics } from "../observability/metrics.ts";
import { contestMemory, maximumObjectRetry, repairDelay, retryDelay, serverRetryLimit } from "../runtime/backoff.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Log } from "../runtime/logger.ts";
import { retryAfterOf } from "../runtime/retry-after.ts";
import { errorMessage, formatSeconds } from "../shared/messages.ts";
import { FailureRecords, type FailureRecord } from "./failure-records.ts";
import { TerminalError } from "./terminal-errors.ts";

/** Where the tracker reports, and where its delays come from. */
export interface FailureTrackerDependencies {
  readonly warn: Warn;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "failed" | "drifted">;
  readonly clock: Clock;
  /** A random number in [0, 1). */
  readonly random: () => number;
}

/** After so many repairs in a row an Event says that another program keeps changing the object. */
const contestedThreshold = 3;
/** A write conflict is reported as a failure only after so many in a row. */
const conflictThreshold = 3;

/** So many records of a namespace are kept for objects that do not exist any more. */
const maxGoneRecords = 1_000;

/** Remembers the failures of each object in each namespace until they are forgotten. */
export class FailureTracker {
  readonly #dependencies: FailureTrackerDependencies;
  readonly #records = new FailureRecords();

  constructor(dependencies: FailureTrackerDependencies) {
    this.#dependencies = dependencies;
  }

  /** How much longer to leave an object alone, in milliseconds; 0 when it may be written. */
  remainingBackoff(namespace: string, object: ObjectRef): number {
    const notBefore = this.#records.find(namespace, object)?.notBefore ?? -Infinity;
    return Math.max(0, notBefore - this.#dependencies.clock.uptime());
  }

  /** Call after an object was created or refreshed. */
  written(namespace: string, object: ObjectRef): void {
    const record = this.#records.find(namespace, object);
    if (record !== undefined) this.#clearFailures(record);
  }

  /** Call after an object was removed from where it does not belong. If it keeps coming back, the delay grows. */
  removed(namespace: string, object: ObjectRef): void {
    const record = this.#clearFailures(this.#records.of(namespace, object));
    this.#backOff(record, record.repairs);
  }

  /** Call after an outside change was reverted; `drift` says what the change was. If it is repeated, the delay grows. */
  repaired(namespace: string, object: ObjectRef, drift: string): void {
    const { metrics, log, warn } = this.#dependencies;
    const record = this.#clearFailures(this.#records.of(namespace, object));
    this.#backOff(record, record.repairs + 1);
    metrics.drifted(object);
    const name = formatRef(object);
    log("warn", `${name} in namespace ${namespace} ${drift}; it was put back`, { namespace, object: name });
    if (record.repairs !== contestedThreshold) return;
    const text = `${name} ${drift}, ${String(contestedThreshold)} times in a row. It is put back more and more slowly`;
    log("error", `${text} in namespace ${namespace}`, { namespace, object: name });
    warn(namespace, object, "Contested", text);
  }

  /** Call after a write failed. Returns the wait before the next attempt, in milliseconds; undefined when a retry is no use. */
  failed(namespace: string, object: ObjectRef, error: unknown): number | undefined {
    const record = this.#records.of(namespace, object);
    if (error instanceof TerminalError) {
      this.#failedForGood(namespace, object, record, error);
      return undefined;
    }
    const { metrics, log } = this.#dependencies;
    const [reason, wait] = [errorMessage(error), this.#countFailure(record, error)];
    if (isNamespaceGone(error) || (isConflict(error) && record.failures < conflictThreshold)) {
      const name = formatRef(object);
      log("debug", `${name} in namespace ${namespace}: ${reason}`, { namespace, object: name });
      return wait;
    }
    metrics.failed(object, reasonLabel(error));
    const event = isClientError(error) ? "ApplyFailed" : undefined;
    this.#report(namespace, object, record, { reason, next: `; trying again in ${formatSeconds(wait)}`, event });
    return wait;
  }

  /** Forgets a namespace where the helper keeps nothing, except objects that others changed lately. */
  forgetUncontested(namespace: string): void {
    this.#records.forget(namespace, (record) => this.#isUncontested(record));
  }

  /** Forgets objects that do not exist any more, except those that others changed lately where they are not too many. */
  forgetGone(namespace: string, exists: (object: ObjectRef) => boolean): void {
    const isFull = this.#records.count(namespace) > maxGoneRecords;
    this.#records.forget(namespace, (record) => (isFull || this.#isUncontested(record)) && !exists(record.object));
  }

  /** Forgets a namespace that no longer exists. */
  forget(namespace: string): void {
    this.#records.forget(namespace, () => true);
  }

  #isUncontested({ repairedAt }: FailureRecord): boolean {
    return this.#dependencies.clock.uptime() - repairedAt > contestMemory;
  }

  /** There is no retry: a watch event or a new token brings the next attempt. */
  #failedForGood(namespace: string, object: ObjectRef, record: FailureRecord, error: TerminalError): void {
    this.#dependencies.metrics.failed(object, error.reason);
    // An object that gets into this state again and again is being changed by someone else.
    if (record.lastReported === "") this.#backOff(record, record.repairs);
    this.#report(namespace, object, record, { reason: errorMessage(error), next: "", event: error.reason });
  }

  /** Returns the wait before the next attempt, in milliseconds. */
  #countFailure(record: FailureRecord, error: unknown): number {
    const { clock, random } = this.#dependencies;
    // A conflict is transient too: the other writer may be done at any moment.
    const isTransient = isTransientError(error) || isConflict(error);
    const wasWaiting = record.isWaiting;
    // The first client error after an outage starts a new row: retries of it must not begin with the outage's long delay.
    record.failures = record.isTransient === isTransient ? record.failures + 1 : 1;
    record.isTransient = isTransient;
    this.#records.waiting += Number(record.isWaiting) - Number(wasWaiting);
    const maximum = isTransient ? serverRetryLimit(this.#records.waiting) : maximumObjectRetry;
    const wait = Math.max(retryAfterOf(error), retryDelay(record.failures, random(), maximum));
    record.notBefore = clock.uptime() + wait;
    return wait;
  }

  /** Counts a repair, and leaves the object alone for the delay that follows `repairs` of them. */
  #backOff(record: FailureRecord, repairs: number): void {
    const { clock, random } = this.#dependencies;
    record.repairs++;
    record.repairedAt = clock.uptime();
    record.notBefore = clock.uptime() + repairDelay(repairs, random());
  }

  /** Ends a row of failures. The repairs count anew if others have left the object alone for long. */
  #clearFailures(record: FailureRecord): FailureRecord {
    if (this.#isUncontested(record)) record.repairs = 0;
    if (record.isWaiting) this.#records.waiting--;
    return Object.assign(record, { failures: 0, lastReported: "" });
  }

  #report(namespace: string, object: ObjectRef, record: FailureRecord, { reason, next, event }: Report): void {
    const { log, warn } = this.#dependencies;
    const name = formatRef(object);
    const level = record.lastReported === reason ? "debug" : "error";
    log(level, `${name} failed in namespace ${namespace}: ${reason}${next}`, { namespace, object: name });
    if (record.lastReported === "" && event !== undefined) warn(namespace, object, event, reason);
    record.lastReported = reason;
  }
}

interface Report {
  readonly reason: string;
  /** What follows the reason in the log; "" for nothing. */
  readonly next: string;
  /** The reason of the Event; undefined for no Event. */
  readonly event: string | undefined;
}

/** Whether the request or the object is at fault. When the API server is at fault instead, no Events are recorded. */
const isClientError = (error: unknown): boolean =>
  error instanceof KubeError && error.status >= 400 && error.status < 500 && error.status !== 429;

/** The value of the metric's label `reason`: one of few words, whatever the message says. */
const reasonLabel = (error: unknown): string => {
  if (!(error instanceof KubeError)) return "Network";
  return error.reason === "" ? `Status${String(error.status)}` : error.reason;
};
