// The memory and descriptors of a process, and whether they grow.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What a process uses at a moment. */
export interface Usage {
  /** In milliseconds since 1970. */
  readonly at: number;
  /** Resident memory, in MB. */
  readonly memory: number;
  /** Open descriptors, including the sockets. */
  readonly handles: number;
  readonly sockets: number;
}

/** How fast a process's usage grows. */
export interface Slopes {
  /** The time between the first and the last measurement. */
  readonly minutes: number;
  /** Growth per hour. */
  readonly megabytes: number;
  readonly handles: number;
  readonly sockets: number;
}

/** A process grows in its first minute, which therefore does not count. In milliseconds. */
const warmUpMs = 60_000;

/** Reads a process's usage from /proc. Throws if there is no such process. */
export function usageOf(pid: number): Usage {
  const folder = `/proc/${String(pid)}`;
  const memory = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`${folder}/status`, "utf8"))?.[1]) / 1024;
  const handles = readdirSync(`${folder}/fd`);
  return { at: Date.now(), memory, handles: handles.length, sockets: handles.filter(isSocket(folder)).length };
}

const isSocket =
  (folder: string) =>
  (handle: string): boolean => {
    try {
      return readlinkSync(`${folder}/fd/${handle}`).startsWith("socket:");
    } catch {
      return false; // It was closed after it was listed.
    }
  };

/** The growth of `value` per hour, by least squares; NaN if there are not two different times. */
export function slope(points: readonly { readonly at: number; readonly value: number }[]): number {
  const mean = (of: (point: { at: number; value: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [meanTime, meanValue] = [mean(({ at }) => at), mean(({ value }) => value)];
  const covariance = mean(({ at, value }) => (at - meanTime) * (value - meanValue));
  const variance = mean(({ at }) => (at - meanTime) ** 2);
  return (covariance / variance) * 3_600_000;
}

/** The growth of one process after its first minute. */
export function slopesOf(usages: readonly Usage[]): Slopes {
  const [first, last] = [usages.at(0)?.at ?? 0, usages.at(-1)?.at ?? 0];
  const warm = usages.filter(({ at }) => at >= first + warmUpMs);
  const of = (name: "memory" | "handles" | "sockets"): number =>
    slope(warm.map((usage) => ({ at: usage.at, value: usage[name] })));
  return { minutes: (last - first) / 60_000, megabytes: of("memory"), handles: of("handles"), sockets: of("sockets") };
}
