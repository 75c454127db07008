// Reads the logs and other files that the test run has written so far (test/local/audit-log.ts).
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { AwsRequest } from "../local/aws-requests.ts";
import { awsRequestLog, secretsFile, runStartVariable } from "../local/audit-log.ts";
import { logs, ports } from "../local/settings.ts";
import type { AuditEvent } from "./cluster-rights.ts";

/** The message of a test in this folder that runs without the others. */
export const incompleteRun =
  "there are too few logs to check: this test checks the logs of all other tests. Run the whole of `npm test`.";

/** The start of the run, in ISO 8601. Earlier uses of the same local cloud are not checked. */
const since = process.env[runStartVariable] ?? new Date().toISOString();

/** All files that the run has written, including those of a local cloud that was stopped meanwhile. */
export const artifactFiles = (): string[] =>
  readdirSync(logs, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

const linesOf = <T>(file: string): T[] =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);

/** The requests to API servers in this run. */
export const auditEvents = (): AuditEvent[] =>
  artifactFiles()
    .filter((file) => /\/audit\/\d+\.log$/.test(file))
    .flatMap((file) => {
      const isOfTest = basename(file) !== `${String(ports.apiServer.port)}.log`;
      return linesOf<AuditEvent>(file).map((event) => ({ ...event, isOfTest }));
    })
    .filter(({ requestReceivedTimestamp }) => requestReceivedTimestamp >= since);

/** The requests to AWS: those of this run, and all since the local cloud was started. */
export function requestsToAws(): { readonly run: AwsRequest[]; readonly ever: AwsRequest[] } {
  const ever = artifactFiles()
    .filter((file) => basename(file) === awsRequestLog)
    .flatMap((file) => linesOf<AwsRequest>(file))
    .sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
  return { run: ever.filter(({ time }) => time >= since), ever };
}

/** Every secret value that was issued since the local cloud was started. */
export const issuedSecretValues = (): string[] =>
  existsSync(secretsFile)
    ? [...new Set(readFileSync(secretsFile, "utf8").split("\n"))].filter((secret) => secret !== "")
    : [];
