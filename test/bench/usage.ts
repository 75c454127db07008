// What a helper has used so far: memory, CPU time, requests.
import { readFileSync } from "node:fs";
import { cpus } from "node:os";

const ecr = "get authorizationtoken";

/** A process's resident memory now and at its peak, in MB, and its CPU time, in seconds, from /proc. */
export function usage(pid: number): { resident: number; peak: number; cpu: number } {
  const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  const megabytes = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
  const stat =
    readFileSync(`/proc/${String(pid)}/stat`, "utf8")
      .split(") ")[1]
      ?.split(" ") ?? [];
  // The kernel counts in hundredths of a second.
  return { resident: megabytes("VmRSS"), peak: megabytes("VmHWM"), cpu: (Number(stat[11]) + Number(stat[12])) / 100 };
}

/** The CPU time of all processes of the machine since it started, in seconds. */
const machineTime = (): number =>
  cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0) / 1000;

/** What was written in how long, and at what cost. */
export interface Cost {
  readonly seconds: number;
  /** In secrets per second. */
  readonly rate: number;
  /** CPU time per secret of each process, in milliseconds. */
  readonly cpu: Readonly<Record<string, number>>;
  /** Busy cores of the machine: if all are, the machine limits the rate, not the writer. */
  readonly busy: number;
}

/** Starts to measure processes, by their ids. The result ends it, given how many secrets were written meanwhile. */
export function startMeter(pids: Readonly<Record<string, number>>): (secrets: number) => Cost {
  const read = (): [string, number][] => Object.entries(pids).map(([name, pid]) => [name, usage(pid).cpu]);
  const [before, machine, start] = [Object.fromEntries(read()), machineTime(), performance.now()];
  return (secrets) => {
    const seconds = (performance.now() - start) / 1000;
    const cpu = read().map(([name, after]) => [name, ((after - (before[name] ?? 0)) * 1000) / secrets]);
    const busy = (machineTime() - machine) / seconds;
    return { seconds, rate: secrets / seconds, cpu: Object.fromEntries(cpu) as Record<string, number>, busy };
  };
}

/** How many requests the helper has sent, from its metrics on this port: to the Kubernetes API by verb and resource, and to ECR. */
export async function requests(port: number): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
  const counted = /^ecr_helper_kubernetes_requests_total\{verb="(\w+)",resource="(\w+)",code="\d+"\} (\d+)$/gm;
  const ofEcr = text.matchAll(/^ecr_helper_token_requests_total\{.*\} (\d+)$/gm);
  const all: Record<string, number> = { [ecr]: [...ofEcr].reduce((sum, [, count]) => sum + Number(count), 0) };
  for (const [, verb = "", resource = "", count] of text.matchAll(counted)) {
    all[`${verb} ${resource}`] = (all[`${verb} ${resource}`] ?? 0) + Number(count);
  }
  return all;
}
