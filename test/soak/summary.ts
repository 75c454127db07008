// The result of a soak, as a table and as JSON.
import type { Period } from "./credential-check.ts";
import type { Soak } from "./soak.ts";
import { slopesOf, type Slopes, type Usage } from "./usage.ts";

/** How long the helper took to recover from a fault. */
export interface Recovery {
  /** In milliseconds; null if the credentials were not all valid again in time. */
  readonly ms: number | null;
  readonly fault: string;
}

/** The result of a soak. */
export interface Summary {
  readonly minutes: number;
  readonly seed: number;
  readonly samples: number;
  readonly checks: number;
  /** How many of the checks found no valid credential. */
  readonly moments: number;
  readonly worstRecovery: Recovery | undefined;
  readonly worstRecoveryFromOutage: Recovery | undefined;
  readonly faults: Readonly<Record<string, number>>;
  readonly outages: number;
  readonly processes: number;
  readonly others: Readonly<Record<string, number>>;
  readonly slopes: Slopes | undefined;
  /** Of the longest-lived process, in MB. */
  readonly memory: number;
  readonly logLines: number;
  readonly wrong: readonly string[];
}

/** The time from a fault's end until all credentials were valid again, in milliseconds. */
const recoveryOf = ({ to = 0, convergedAt = Infinity }: Period): number => convergedAt - to;

function worst(periods: readonly Period[]): Recovery | undefined {
  const [first, ...others] = periods.filter(({ convergedAt }) => convergedAt !== undefined);
  if (first === undefined) return undefined;
  const found = others.reduce((one, other) => (recoveryOf(other) > recoveryOf(one) ? other : one), first);
  return { ms: Number.isFinite(found.convergedAt) ? recoveryOf(found) : null, fault: found.what };
}

const counted = (names: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
};

/** Summarizes a soak that started at `since`, in milliseconds of `performance.now()`. */
export function summaryOf(soak: Soak, seed: number, since: number): Summary {
  const { sampler, periods, usageByProcess } = soak;
  const short = periods.filter(({ isDeclared }) => !isDeclared);
  const outages = periods.filter(({ isDeclared }) => isDeclared);
  const longest = usageByProcess.reduce<readonly Usage[]>(
    (one, other) => (other.length > one.length ? other : one),
    [],
  );
  return {
    minutes: Number(((performance.now() - since) / 60_000).toFixed(1)),
    seed,
    samples: sampler.samples,
    checks: sampler.checks,
    moments: sampler.moments,
    worstRecovery: worst(short),
    worstRecoveryFromOutage: worst(outages),
    faults: counted(short.flatMap(({ what }) => what.split(" and "))),
    outages: outages.length,
    processes: usageByProcess.length,
    others: Object.fromEntries(soak.churn.done),
    slopes: longest.length < 2 ? undefined : slopesOf(longest),
    memory: longest.at(-1)?.memory ?? Number.NaN,
    logLines: soak.logLines,
    wrong: [...soak.errors, ...sampler.without],
  };
}

const recovery = (found: Recovery | undefined): string =>
  found === undefined ? "none" : `${found.ms === null ? "never" : String(found.ms)} (${found.fault})`;

/** The rows of a summary's table. */
export function rowsOf(summary: Summary): Record<string, string | number> {
  const { slopes } = summary;
  const of = (value: number | undefined): string => (value === undefined ? "none" : value.toFixed(1));
  return {
    minutes: summary.minutes,
    seed: summary.seed,
    samples: summary.samples,
    "credentials checked": summary.checks,
    "moments without a valid one": summary.moments,
    "worst recovery from a fault, ms": recovery(summary.worstRecovery),
    "worst recovery from a declared outage, ms": recovery(summary.worstRecoveryFromOutage),
    "declared outages": summary.outages,
    "processes of the two helpers": summary.processes,
    "lines of their logs": summary.logLines,
    "longest life of one, minutes": of(slopes?.minutes),
    "memory then, MB": of(summary.memory),
    "memory, MB/hour": of(slopes?.megabytes),
    "handles per hour": of(slopes?.handles),
    "sockets per hour": of(slopes?.sockets),
    ...summary.others,
    ...summary.faults,
  };
}
