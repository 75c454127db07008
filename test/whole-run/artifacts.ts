// What the run of the tests has left behind until now (test/local/audit-log.ts), read for those that judge it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { AwsRequest } from "../local/aws-requests.ts";
import { awsRequestLog, secretsFile, runStartVariable } from "../local/audit-log.ts";
import { logs, ports } from "../local/settings.ts";
import type { AuditEvent } from "./cluster-rights.ts";

/** Why a judge has nothing to say when it runs alone. */
export const incompleteRun =
  "too little is left behind to judge by: this judges all tests of a run, after them. Run `npm test` as a whole.";

/** Since when the run goes on, in ISO 8601. The cloud may have been there before, and what it was used for is not judged. */
const since = process.env[runStartVariable] ?? new Date().toISOString();

/** All files that were left behind, those of a cloud that ended meanwhile, too. */
export const artifactFiles = (): string[] =>
  readdirSync(logs, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

const linesOf = <T>(file: string): T[] =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);

/** What API servers were asked in this run. */
export const auditEvents = (): AuditEvent[] =>
  artifactFiles()
    .filter((file) => /\/audit\/\d+\.log$/.test(file))
    .flatMap((file) => {
      const isOfTest = basename(file) !== `${String(ports.apiServer.port)}.log`;
      return linesOf<AuditEvent>(file).map((event) => ({ ...event, isOfTest }));
    })
    .filter(({ requestReceivedTimestamp }) => requestReceivedTimestamp >= since);

/** What AWS was asked: in this run, and ever since there is the cloud. */
export function requestsToAws(): { readonly run: AwsRequest[]; readonly ever: AwsRequest[] } {
  const ever = artifactFiles()
    .filter((file) => basename(file) === awsRequestLog)
    .flatMap((file) => linesOf<AwsRequest>(file))
    .sort((a, b) => Date.parse(a.time) - Date.parse(b.time));
  return { run: ever.filter(({ time }) => time >= since), ever };
}

/** Every secret that occurred since there is the cloud. */
export const issuedSecretValues = (): string[] =>
  existsSync(secretsFile)
    ? [...new Set(readFileSync(secretsFile, "utf8").split("\n"))].filter((secret) => secret !== "")
    : [];
