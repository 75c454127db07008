// What an API server's audit log says of the helpers of one stack.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { apiServerAudits } from "../local/audit-log.ts";

/** An event of an audit log: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ */
export interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
  readonly objectRef?: { readonly resource?: string; readonly namespace?: string; readonly name?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly requestObject?: unknown;
  readonly annotations?: Readonly<Record<string, string>>;
  /** When the request arrived, and when it was answered. */
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

/** The events of the helpers in a namespace, by the audit log of the API server at this URL. */
export async function helperEvents(server: string, namespace: string): Promise<AuditEvent[]> {
  const text = await readFile(join(apiServerAudits, `${new URL(server).port}.log`), "utf8");
  const user = `system:serviceaccount:${namespace}:ecr-helper`;
  // The last line may be incomplete: it belongs to a request that is not answered yet.
  const lines = text.slice(0, text.lastIndexOf("\n")).split("\n");
  const events = lines.filter((line) => line.includes(user)).map((line) => JSON.parse(line) as AuditEvent);
  return events.filter(({ user: { username } }) => username === user);
}

/** Whether the API server has done what was asked. */
export const hasSucceeded = ({ responseStatus }: Pick<AuditEvent, "responseStatus">): boolean =>
  (responseStatus?.code ?? 500) < 300;

/** Whether an event is a write to a secret or a service account. Dry runs are not: only tests send them. */
export const isWrite = ({ verb, objectRef, requestURI }: AuditEvent): boolean =>
  ["create", "update", "patch", "delete"].includes(verb) &&
  ["secrets", "serviceaccounts"].includes(objectRef?.resource ?? "") &&
  !requestURI.includes("dryRun=All");
