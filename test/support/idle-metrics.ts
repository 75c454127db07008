// The metrics of a helper that has done nothing yet.
import type { HelperConfig } from "../../helper/config/helper-config.ts";
import { Metrics } from "../../helper/observability/metrics.ts";

/** Metrics of a helper that leads, and has no namespace. */
export const idleMetrics = (config: HelperConfig): Metrics =>
  new Metrics(config, {
    states: () => new Map(),
    isFullySynced: () => true,
    isLeading: () => true,
    missingOwners: () => 0,
  });
