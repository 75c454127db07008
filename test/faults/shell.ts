// Shell commands, run in the checkout as a user of the local cloud would type them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { cloudEnvironment } from "../local/cloud.ts";
import { preserveFiles, recordOutput } from "../local/audit-log.ts";

/** How a shell command ended. */
export interface ShellResult {
  /** The exit code; null if a signal ended it. */
  readonly code: number | null;
  /** Standard output, then standard error. */
  readonly output: string;
  readonly milliseconds: number;
}

/** Runs a shell script with the variables that `npm run -s env` exports. Does not reject if it fails. */
export async function shell(command: string): Promise<ShellResult> {
  const since = performance.now();
  preserveFiles();
  const child = spawn("sh", ["-ec", command], {
    cwd: join(import.meta.dirname, "../.."),
    env: { ...process.env, ...cloudEnvironment() },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  recordOutput("commands", [command, stdout, stderr].join("\n"));
  return { code: child.exitCode, output: stdout + stderr, milliseconds: Math.round(performance.now() - since) };
}
