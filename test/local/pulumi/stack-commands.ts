// The pulumi commands that the local cloud runs on a stack. The user sees the output of up and destroy.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { cloudEnvironment } from "../cloud.ts";
import { isAlive, LocalCloudError, run } from "../process.ts";
import { say } from "../progress.ts";
import type { Stack } from "../stack.ts";
import { backend } from "../settings.ts";
import { pulumiCommand } from "./pulumi-home.ts";

/** Runs a command on a stack and shows its output. Rejects with LocalCloudError where it fails. */
async function pulumi(stack: Stack, ...args: string[]): Promise<void> {
  const child = spawn(pulumiCommand, [...args, ...selection(stack), "--yes", "--skip-preview", "--non-interactive"], {
    cwd: stack.project,
    env: { ...process.env, ...cloudEnvironment() },
    stdio: ["ignore", 2, 2],
  });
  // Ctrl-C reaches pulumi, too, which then ends in an orderly way; this process waits to report its exit code.
  const stay = (): void => undefined;
  process.on("SIGINT", stay);
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  process.off("SIGINT", stay);
  if (code === 0) return;
  throw new LocalCloudError(
    `pulumi ${args.join(" ")} ended with ${signal ?? `exit code ${String(code)}`}; it says above why. ` +
      'Remedy: mend that (infra/README.md, "Errors"), then run the command again: it goes on from there.',
  );
}

const selection = ({ name, configFile }: Stack): string[] => ["--stack", name, "--config-file", configFile];

/** Runs a command on a stack and returns its standard output, which is not shown. */
const quietly = async ({ name, folder }: Stack, ...args: string[]): Promise<string> =>
  run(pulumiCommand, ["--cwd", folder, ...args, "--stack", name, "--non-interactive"], {
    env: { ...process.env, ...cloudEnvironment() },
  });

const stateFile = (name: string): string => join(backend, ".pulumi/stacks/ecr-helper", `${name}.json`);

/** Whether Pulumi knows a stack of this name. */
export const stackExists = (name: string): boolean => existsSync(stateFile(name));

/** Creates or updates a stack. Rejects with LocalCloudError where pulumi fails. */
export async function up(stack: Stack): Promise<void> {
  mkdirSync(backend, { recursive: true, mode: 0o700 });
  // Runs in the stack's own folder, so that pulumi writes no configuration into the checkout.
  if (!stackExists(stack.name)) await quietly(stack, "stack", "init", "--no-select");
  await unlock(stack);
  // --refresh repairs what was deleted or changed outside pulumi, and what an interrupted command left.
  await pulumi(stack, "up", "--refresh");
}

/** Deletes the resources of a stack, and the stack. Rejects with LocalCloudError where pulumi fails. */
export async function destroy(stack: Stack): Promise<void> {
  if (!stackExists(stack.name)) return;
  await unlock(stack);
  await pulumi(stack, "destroy");
  await quietly(stack, "stack", "rm", "--yes", "--preserve-config");
}

/** The outputs of a stack; none where it does not exist. */
export const outputs = async (stack: Stack): Promise<Record<string, unknown>> =>
  stackExists(stack.name)
    ? (JSON.parse(await quietly(stack, "stack", "output", "--json")) as Record<string, unknown>)
    : {};

interface Lock {
  readonly pid: number;
  readonly hostname: string;
}

/** Removes the locks of killed commands. Does nothing where a lock belongs to a running command or to another machine. */
async function unlock(stack: Stack): Promise<void> {
  const folder = join(backend, ".pulumi/locks/organization/ecr-helper", stack.name);
  const locks = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith(".json")) : [];
  const isLeft = (file: string): boolean => {
    const lock = JSON.parse(readFileSync(join(folder, file), "utf8")) as Lock;
    return lock.hostname === hostname() && !isAlive(lock.pid);
  };
  if (locks.length === 0 || !locks.every(isLeft)) return;
  say(`A pulumi command on stack ${stack.name} was killed; its lock is taken away (pulumi cancel).`);
  await quietly(stack, "cancel", "--yes");
}
