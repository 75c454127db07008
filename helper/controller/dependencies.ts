// What the controller gets from its caller.
import type { Metrics } from "../observability/metrics.ts";
import type { FailureTrackerDependencies } from "./failure-tracker.ts";
import type { Writer } from "./writer.ts";

/** What the controller acts through. */
export interface ControllerDependencies extends FailureTrackerDependencies {
  readonly writer: Pick<Writer, "writeSecret" | "removeSecret" | "applyAccount" | "releaseAccount">;
  readonly metrics: FailureTrackerDependencies["metrics"] & Pick<Metrics, "applied">;
  /** Called when nothing is due any more. */
  readonly idle: () => void;
  /** How many namespaces may be reconciled at a time. */
  readonly concurrency: () => number;
}
