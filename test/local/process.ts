// Runs programs: to their end, or in the background, with a log and a record of the process.
import { execFile, spawn, type ExecFileOptions } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { home, logs } from "./settings.ts";

const records = join(home, "run");

/** An error with a message for the user: what went wrong, and what to do. */
export class LocalCloudError extends Error {}

/** The options of `run`. */
export interface RunOptions extends ExecFileOptions {
  /** The program's standard input; empty by default. */
  input?: string | Buffer;
}

/** Runs a program to its end and returns its standard output. Rejects with LocalCloudError, which has its last lines of output. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { input, ...rest } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { maxBuffer: 64 << 20, encoding: "utf8", ...rest },
      (error, stdout, stderr) => {
        if (error === null) return void resolve(String(stdout));
        const output = lastLines(`${String(stdout)}\n${String(stderr)}`, 15);
        reject(
          new LocalCloudError(`${command} ${args.join(" ")} failed: ${output || error.message}`, { cause: error }),
        );
      },
    );
    // A program that ends before it has read all input is not a failure by itself: its exit code decides.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(input);
  });
}

const lastLines = (text: string, count: number): string => text.trim().split("\n").slice(-count).join("\n");

/** A program that runs in the background. The name is that of its log and its record. */
export interface Background {
  name: string;
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
}

/** Starts a program in the background unless the one recorded under its name still runs. */
export function startBackground({ name, command, args, env = {} }: Background): void {
  if (isRunning(name)) return;
  mkdirSync(logs, { recursive: true });
  mkdirSync(records, { recursive: true });
  const log = openSync(join(logs, `${name}.log`), "a");
  const child = spawn(command, args, { detached: true, stdio: ["ignore", log, log], env: { ...process.env, ...env } });
  closeSync(log);
  child.on("error", (error) => writeFileSync(join(logs, `${name}.log`), `${error.message}\n`, { flag: "a" }));
  child.unref();
  if (child.pid !== undefined) writeFileSync(join(records, name), `${String(child.pid)} ${startTime(child.pid) ?? ""}`);
}

/** Whether the process recorded under this name is still running. Another process that got its pid does not count. */
export const isRunning = (name: string): boolean => recordedPid(name) !== undefined;

/** Whether a background process was started under this name and has ended without being stopped. */
export const hasCrashed = (name: string): boolean => existsSync(join(records, name)) && !isRunning(name);

function recordedPid(name: string): number | undefined {
  const [pid, started] = (readOrUndefined(join(records, name)) ?? "").split(" ");
  return pid !== undefined && started !== undefined && startTime(Number(pid)) === started ? Number(pid) : undefined;
}

/** The start time of a process, in the kernel's clock ticks; undefined where it does not exist or is a zombie. */
function startTime(pid: number): string | undefined {
  const fields = statOf(pid);
  return fields === undefined || fields[0] === "Z" ? undefined : fields[19];
}

/** Whether a process with this pid exists and is no zombie. */
export const isAlive = (pid: number): boolean => startTime(pid) !== undefined;

/** The state of a process as proc(5) has it, such as T where a signal stopped it; undefined where there is no such process. */
export const processState = (pid: number): string | undefined => statOf(pid)?.[0];

/** The fields of /proc/PID/stat from the process state on: state, parent and so on (proc(5)). */
const statOf = (pid: number): string[] | undefined =>
  readOrUndefined(`/proc/${String(pid)}/stat`)
    ?.split(") ")
    .at(-1)
    ?.split(" ");

const readOrUndefined = (file: string): string | undefined => {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
};

/** Stops a background process by SIGTERM, and by SIGKILL after ten seconds; or by SIGKILL at once. */
export async function stopBackground(name: string, signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
  const pid = recordedPid(name);
  if (pid !== undefined) await terminate([pid], signal);
  rmSync(join(records, name), { force: true });
}

const allProcesses = (): number[] =>
  readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);

/** The living processes of containers, by the ids of the containers, which are in the names of their control groups. */
export const processesOfContainers = (ids: readonly string[]): number[] =>
  allProcesses().filter((pid) => {
    const groups = readOrUndefined(`/proc/${String(pid)}/cgroup`) ?? "";
    return isAlive(pid) && ids.some((id) => groups.includes(id));
  });

/** Kills the processes whose command line has the given argument, such as the shims of a containerd, and their children. */
export async function killProcessTrees(argument: string): Promise<void> {
  const all = allProcesses();
  const named = (pid: number): boolean =>
    (readOrUndefined(`/proc/${String(pid)}/cmdline`) ?? "").split("\0").includes(argument);
  const parents = all.filter((pid) => pid !== process.pid && named(pid));
  const children = all.filter((pid) => parents.includes(Number(statOf(pid)?.[1])));
  await terminate([...children, ...parents], "SIGKILL");
}

/** Kills processes by SIGKILL until none is found: one that was killed may just have started another. */
export async function killUntilGone(find: () => Promise<readonly number[]>): Promise<void> {
  for (let found = await find(); found.length > 0; found = await find()) await terminate(found, "SIGKILL");
}

async function terminate(pids: readonly number[], first: "SIGTERM" | "SIGKILL"): Promise<void> {
  for (const signal of [first, "SIGKILL"] as const) {
    const alive = pids.filter((pid) => startTime(pid) !== undefined);
    for (const pid of alive) kill(pid, signal);
    const deadline = Date.now() + 10_000;
    // They may not be children of this process, so their end has to be polled.
    while (Date.now() < deadline && alive.some((pid) => startTime(pid) !== undefined)) await delay(20);
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Whether a promise resolves. For work whose failure means no more than "not yet" or "not there". */
export const succeeds = async (work: Promise<unknown>): Promise<boolean> =>
  work.then(
    () => true,
    () => false,
  );

/**
 * Polls `ready` until it returns true. Rejects with LocalCloudError, which has the last lines of the log, when the background process
 * `name` ends, or after `timeout` milliseconds.
 */
export async function waitUntilReady(name: string, ready: () => Promise<boolean>, timeout = 60_000): Promise<void> {
  const deadline = Date.now() + timeout;
  while (!(await ready())) {
    const file = join(logs, `${name}.log`);
    if (!isRunning(name) || Date.now() > deadline) {
      const why = isRunning(name) ? `is not ready after ${String(timeout / 1000)} s` : "ended while it started";
      throw new LocalCloudError(
        `${name} ${why}. Its last lines (all in ${file}):\n${lastLines(readOrUndefined(file) ?? "", 8)}\n` +
          "Remedy: mend what they name, then run the command again: it repairs what is there.",
      );
    }
    await delay(50);
  }
}

/** Whether an HTTP address responds with a status of success within two seconds. */
export async function respondsOk(address: string): Promise<boolean> {
  const response = fetch(address, { signal: AbortSignal.timeout(2_000) });
  return (await succeeds(response)) && (await response).ok;
}
