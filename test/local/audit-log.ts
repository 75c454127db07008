// The audit log of a test run: the requests to AWS and to the API server, all program output, and, in a separate file, every
// secret that was issued. The tests in test/whole-run read it. It is deleted with the cloud.
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

/** The name of the log file with the requests to AWS: one AwsRequest as JSON per line. */
export const awsRequestLog = "aws-requests.log";
/** The folder with the audit policy and the audit log of each API server. */
export const apiServerAudits = join(logs, "audit");
/** The file with every issued secret, one per line, which the search for leaks needs. Only its owner can read it. */
export const secretsFile = join(home, "issued-secrets");

/** The environment variable with the start of the test run, in ISO 8601. */
export const runStartVariable = "ECR_HELPER_RUN_SINCE";

/** Appends in one write, so that several processes can share the file. Does nothing where no cloud runs. */
function append(file: string, text: string, mode = 0o644): void {
  if (existsSync(logs)) appendFileSync(file, text, { mode });
}

/** Adds a request to the log of requests to AWS. */
export const recordAwsRequest = (request: AwsRequest): void =>
  append(join(logs, awsRequestLog), `${JSON.stringify(request)}\n`);

/** Adds the output of a program, or its input, to the log file NAME.log. */
export const recordOutput = (name: string, text: string): void =>
  append(join(logs, `${name}.log`), text.endsWith("\n") ? text : `${text}\n`);

/** Adds secrets to the list that the search for leaks looks for. */
export const recordSecrets = (secrets: readonly string[]): void =>
  append(secretsFile, secrets.map((secret) => `${secret}\n`).join(""), 0o600);

/** Copies files that may soon be deleted into the logs: logs of pods, and states of stacks with their previous versions. */
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
    // The file is gone where its pod or stack was deleted meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Preserves the logs and the list of secrets while `work` stops the cloud and starts it again. */
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
