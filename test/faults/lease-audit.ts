// Who held the Lease and who wrote, by the audit log of an API server. Helpers of one stack are the same service account there:
// each has a token of its own to tell them apart.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { apiServerAudits } from "../local/audit-log.ts";

/** An event of the audit log: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/ */
interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
  readonly objectRef?: { readonly resource?: string };
  readonly responseStatus?: { readonly code?: number };
  /** When the request arrived, and when it was answered. */
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

/** Writes that the Lease should have prevented, each with what it was. */
export interface LateWrites {
  /** Arrived after another helper had asked for the Lease and got it. */
  readonly arrived: readonly string[];
  /** Arrived before, and succeeded after. */
  readonly ended: readonly string[];
}

/** Finds the late writes of the helpers in a namespace, by the audit log of the API server at this URL. */
export async function readLateWrites(server: string, namespace: string): Promise<LateWrites> {
  const text = await readFile(join(apiServerAudits, `${new URL(server).port}.log`), "utf8");
  const user = `system:serviceaccount:${namespace}:ecr-helper`;
  // The last line may be incomplete: it belongs to a request that is not answered yet.
  const lines = text.slice(0, text.lastIndexOf("\n")).split("\n");
  const events = lines.filter((line) => line.includes(user)).map((line) => JSON.parse(line) as AuditEvent);
  return lateWrites(events.filter(({ user: { username } }) => username === user));
}

/** Finds them in the events of one stack's helpers, in any order. */
function lateWrites(events: readonly AuditEvent[]): LateWrites {
  const acquisitions = acquisitionsOf(events);
  const writes = events.filter(
    ({ verb, objectRef, requestURI }) =>
      ["create", "update", "patch", "delete"].includes(verb) &&
      ["secrets", "serviceaccounts"].includes(objectRef?.resource ?? "") &&
      // Only tests send these.
      !requestURI.includes("dryRun=All"),
  );
  const [arrived, ended]: [string[], string[]] = [[], []];
  for (const write of writes) {
    const { requestReceivedTimestamp: received, stageTimestamp: answered, verb, requestURI, responseStatus } = write;
    const status = responseStatus?.code ?? 0;
    const text = `${received} to ${answered}: ${idOf(write)} ${verb} ${requestURI}: ${String(status)}`;
    if (holderAt(acquisitions, received) !== idOf(write)) arrived.push(text);
    else if (status < 300 && holderAt(acquisitions, answered) !== idOf(write)) ended.push(text);
  }
  return { arrived, ended };
}

interface Acquisition {
  /** When the API server received it. */
  readonly at: string;
  readonly holder: string;
}

/** Every change of the holder, in the order of time. */
function acquisitionsOf(events: readonly AuditEvent[]): Acquisition[] {
  const written = events
    .filter(({ objectRef, verb, responseStatus }) => {
      const isWrite = ["create", "update"].includes(verb) && (responseStatus?.code ?? 500) < 300;
      return isWrite && objectRef?.resource === "leases";
    })
    .sort((one, other) => (one.stageTimestamp < other.stageTimestamp ? -1 : 1));
  return written.flatMap((event, index) => {
    const [before, holder] = [written[index - 1], idOf(event)];
    return before !== undefined && idOf(before) === holder ? [] : [{ at: event.requestReceivedTimestamp, holder }];
  });
}

/** Who held the Lease at a time; it may have given it up. Times of an audit log compare as text. */
const holderAt = (acquisitions: readonly Acquisition[], time: string): string | undefined =>
  acquisitions.findLast(({ at }) => at <= time)?.holder;

const idOf = ({ user }: AuditEvent): string => user.extra?.["authentication.kubernetes.io/credential-id"]?.[0] ?? "";
