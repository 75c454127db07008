// Commands of a user of the local cloud, as typed into a shell in the checkout.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { cloudEnvironment } from "../local/cloud.ts";
import { keepFiles, recordSaid } from "../local/audit-log.ts";

export interface ShellResult {
  readonly code: number | null;
  readonly output: string;
  readonly milliseconds: number;
}

/** Runs a command, after `eval "$(npm run -s env)"`. */
export async function shell(command: string): Promise<ShellResult> {
  const since = performance.now();
  keepFiles();
  const child = spawn("sh", ["-ec", command], {
    cwd: join(import.meta.dirname, "../.."),
    env: { ...process.env, ...cloudEnvironment() },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  recordSaid("commands", [command, stdout, stderr].join("\n"));
  return { code: child.exitCode, output: stdout + stderr, milliseconds: Math.round(performance.now() - since) };
}
