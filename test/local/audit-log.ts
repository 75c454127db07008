// What a run of the tests leaves behind for those that judge it as a whole: who asked AWS and the API server for what, all
// that was said, and, apart from it, every secret that occurred. It lasts as long as the cloud does.
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { AwsRequest } from "./aws-requests.ts";
import { backend, home, logs } from "./settings.ts";

/** The name of the log of requests to AWS, one per line. */
export const awsRequestLog = "aws-requests.log";
/** A folder with the audit log of each API server, and the policy of what is in it. */
export const apiServerAudits = join(logs, "audit");
/** Every secret that occurred, one per line, for its owner's eyes: whoever looks for leaks has to know them. */
export const secretsFile = join(home, "issued-secrets");

/** The environment variable by which every test of a run knows since when it goes on, in ISO 8601. */
export const runStartVariable = "ECR_HELPER_RUN_SINCE";

/** Adds to a file in one write, so that several processes may; nothing where no cloud runs. */
function append(file: string, text: string, mode = 0o644): void {
  if (existsSync(logs)) appendFileSync(file, text, { mode });
}

export const recordAwsRequest = (request: AwsRequest): void =>
  append(join(logs, awsRequestLog), `${JSON.stringify(request)}\n`);

/** Keeps what a part of the tests said or was told, in a log by that name. */
export const recordOutput = (by: string, text: string): void =>
  append(join(logs, `${by}.log`), text.endsWith("\n") ? text : `${text}\n`);

/** Has a secret looked for in all that is left behind. */
export const recordSecrets = (secrets: readonly string[]): void =>
  append(secretsFile, secrets.map((secret) => `${secret}\n`).join(""), 0o600);

/** Keeps what may be about to go: the logs of pods, and the states of stacks, with what they were before their last change. */
export function preserveFiles(): void {
  for (const [name, from, wanted] of [
    ["pod-logs", join(home, "pod-logs"), /\.log$/],
    ["states", join(backend, ".pulumi/stacks"), /\.json(\.bak)?$/],
  ] as const) {
    if (!existsSync(from)) continue;
    for (const file of readdirSync(from, { recursive: true, encoding: "utf8" })) {
      if (wanted.test(file)) preserveFile(join(from, file), join(logs, name, file));
    }
  }
}

function preserveFile(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  try {
    copyFileSync(from, to);
  } catch (error) {
    // A pod or a stack of somebody else's that ended meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Does some work that ends the cloud and starts it again, without losing what was left behind until then. */
export async function preservingLogs(work: () => Promise<void>): Promise<void> {
  preserveFiles();
  const kept = mkdtempSync(join(tmpdir(), "ecr-helper-audit-log-"));
  cpSync(logs, join(kept, "logs"), { recursive: true });
  if (existsSync(secretsFile)) copyFileSync(secretsFile, join(kept, "issued-secrets"));
  try {
    await work();
  } finally {
    cpSync(join(kept, "logs"), join(logs, "before"), { recursive: true });
    if (existsSync(join(kept, "issued-secrets")))
      recordSecrets(readFileSync(join(kept, "issued-secrets"), "utf8").trim().split("\n"));
    rmSync(kept, { recursive: true });
  }
}
