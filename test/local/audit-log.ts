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
export const awsRequests = "aws-requests.log";
/** A folder with the audit log of each API server, and the policy of what is in it. */
export const audits = join(logs, "audit");
/** Every secret that occurred, one per line, for its owner's eyes: whoever looks for leaks has to know them. */
export const issuedSecrets = join(home, "issued-secrets");

/** The environment variable by which every test of a run knows since when it goes on, in ISO 8601. */
export const runSince = "ECR_HELPER_RUN_SINCE";

/** Adds to a file in one write, so that several processes may; nothing where no cloud runs. */
function append(file: string, text: string, mode = 0o644): void {
  if (existsSync(logs)) appendFileSync(file, text, { mode });
}

export const recordRequest = (request: AwsRequest): void =>
  append(join(logs, awsRequests), `${JSON.stringify(request)}\n`);

/** Keeps what a part of the tests said or was told, in a log by that name. */
export const recordSaid = (by: string, text: string): void =>
  append(join(logs, `${by}.log`), text.endsWith("\n") ? text : `${text}\n`);

/** Has a secret looked for in all that is left behind. */
export const rememberSecrets = (secrets: readonly string[]): void =>
  append(issuedSecrets, secrets.map((secret) => `${secret}\n`).join(""), 0o600);

/** Keeps what may be about to go: the logs of pods, and the states of stacks, with what they were before their last change. */
export function keepFiles(): void {
  for (const [name, from, wanted] of [
    ["pod-logs", join(home, "pod-logs"), /\.log$/],
    ["states", join(backend, ".pulumi/stacks"), /\.json(\.bak)?$/],
  ] as const) {
    if (!existsSync(from)) continue;
    for (const file of readdirSync(from, { recursive: true, encoding: "utf8" })) {
      if (wanted.test(file)) keepFile(join(from, file), join(logs, name, file));
    }
  }
}

function keepFile(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  try {
    copyFileSync(from, to);
  } catch (error) {
    // A pod or a stack of somebody else's that ended meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Does some work that ends the cloud and starts it again, without losing what was left behind until then. */
export async function keepingEvidence(work: () => Promise<void>): Promise<void> {
  keepFiles();
  const kept = mkdtempSync(join(tmpdir(), "ecr-helper-evidence-"));
  cpSync(logs, join(kept, "logs"), { recursive: true });
  if (existsSync(issuedSecrets)) copyFileSync(issuedSecrets, join(kept, "issued-secrets"));
  try {
    await work();
  } finally {
    cpSync(join(kept, "logs"), join(logs, "before"), { recursive: true });
    if (existsSync(join(kept, "issued-secrets")))
      rememberSecrets(readFileSync(join(kept, "issued-secrets"), "utf8").trim().split("\n"));
    rmSync(kept, { recursive: true });
  }
}
