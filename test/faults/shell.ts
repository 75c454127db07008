// Commands of a user of the local cloud, as typed into a shell in the checkout.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { cloudEnvironment } from "../local/cloud.ts";
import { preserveFiles, recordOutput } from "../local/audit-log.ts";

export interface Said {
  readonly code: number | null;
  readonly said: string;
  readonly milliseconds: number;
}

/** Runs a command, after `eval "$(npm run -s env)"`. */
export async function shell(command: string): Promise<Said> {
  const since = performance.now();
  preserveFiles();
  const child = spawn("sh", ["-ec", command], {
    cwd: join(import.meta.dirname, "../.."),
    env: { ...process.env, ...cloudEnvironment() },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  recordOutput("commands", [command, stdout, stderr].join("\n"));
  return { code: child.exitCode, said: stdout + stderr, milliseconds: Math.round(performance.now() - since) };
}
