// What a process holds, and whether it grows.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface Usage {
  /** In milliseconds since 1970. */
  readonly at: number;
  /** Resident, in MB. */
  readonly memory: number;
  /** Open descriptors, and those of them that are sockets. */
  readonly handles: number;
  readonly sockets: number;
}

export interface Slopes {
  /** Of the life that was looked at. */
  readonly minutes: number;
  /** Per hour. */
  readonly megabytes: number;
  readonly handles: number;
  readonly sockets: number;
}

/** In a process's first minute it only becomes what it is. */
const warmUpMs = 60_000;

/** What the kernel says of a process now. */
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
      return false; // It was closed since it was listed.
    }
  };

/** By least squares: how much `value` grows in an hour. NaN for less than two different times. */
export function slope(points: readonly { readonly at: number; readonly value: number }[]): number {
  const mean = (of: (point: { at: number; value: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [middle, level] = [mean(({ at }) => at), mean(({ value }) => value)];
  const along = mean(({ at, value }) => (at - middle) * (value - level));
  const spread = mean(({ at }) => (at - middle) ** 2);
  return (along / spread) * 3_600_000;
}

/** Of one process's life after its first minute. */
export function slopesOf(life: readonly Usage[]): Slopes {
  const [first, last] = [life.at(0)?.at ?? 0, life.at(-1)?.at ?? 0];
  const settled = life.filter(({ at }) => at >= first + warmUpMs);
  const of = (name: "memory" | "handles" | "sockets"): number =>
    slope(settled.map((usage) => ({ at: usage.at, value: usage[name] })));
  return { minutes: (last - first) / 60_000, megabytes: of("memory"), handles: of("handles"), sockets: of("sockets") };
}
