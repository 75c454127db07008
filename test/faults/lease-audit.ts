// Who held the Lease and who wrote, by the audit log of an API server. Helpers of one stack are the same service account there:
// each has a token of its own to tell them apart.
import { hasSucceeded, helperEvents, isWrite, type AuditEvent } from "../support/helper-audit.ts";

/** Writes that the Lease should have prevented, each with what it was. */
export interface LateWrites {
  /** Arrived after another helper had asked for the Lease and got it. */
  readonly arrived: readonly string[];
  /** Arrived before, and succeeded after. */
  readonly ended: readonly string[];
  /** Arrived before, and were refused after, as the other helper has written the object. */
  readonly refused: readonly string[];
}

/** Finds the late writes of the helpers in a namespace, by the audit log of the API server at this URL. */
export async function readLateWrites(server: string, namespace: string): Promise<LateWrites> {
  return lateWrites(await helperEvents(server, namespace));
}

/** Finds them in the events of one stack's helpers, in any order. */
function lateWrites(events: readonly AuditEvent[]): LateWrites {
  const acquisitions = acquisitionsOf(events);
  const found: Record<keyof LateWrites, string[]> = { arrived: [], ended: [], refused: [] };
  for (const write of events.filter(isWrite)) {
    const what = latenessOf(write, acquisitions);
    if (what !== undefined) found[what].push(describeWrite(write, acquisitions));
  }
  return found;
}

/** Undefined for a write that belongs to a term of its writer, and for one that failed by itself. */
function latenessOf(write: AuditEvent, acquisitions: readonly Acquisition[]): keyof LateWrites | undefined {
  const isHolderAt = (time: string): boolean => acquisitionAt(acquisitions, time)?.holder === idOf(write);
  if (!isHolderAt(write.requestReceivedTimestamp)) return "arrived";
  if (isHolderAt(write.stageTimestamp)) return undefined;
  if (hasSucceeded(write)) return "ended";
  return write.responseStatus?.code === 409 ? "refused" : undefined;
}

function describeWrite(write: AuditEvent, acquisitions: readonly Acquisition[]): string {
  const { requestReceivedTimestamp: received, stageTimestamp: answered, verb, requestURI, responseStatus } = write;
  const last = acquisitionAt(acquisitions, answered);
  const lease = last === undefined ? "nobody had the lease" : `the lease was ${last.holder}'s since ${last.at}`;
  const status = String(responseStatus?.code ?? 0);
  return `${received} to ${answered}: ${idOf(write)} ${verb} ${requestURI}: ${status}; ${lease}`;
}

interface Acquisition {
  /** When the API server received it. */
  readonly at: string;
  readonly holder: string;
}

/** Every change of the holder, in the order of time. */
function acquisitionsOf(events: readonly AuditEvent[]): Acquisition[] {
  const isOfLease = ({ objectRef, verb }: AuditEvent): boolean =>
    objectRef?.resource === "leases" && ["create", "update"].includes(verb);
  const written = events
    .filter((event) => isOfLease(event) && hasSucceeded(event))
    .sort((one, other) => (one.stageTimestamp < other.stageTimestamp ? -1 : 1));
  return written.flatMap((event, index) => {
    const [before, holder] = [written[index - 1], idOf(event)];
    return before !== undefined && idOf(before) === holder ? [] : [{ at: event.requestReceivedTimestamp, holder }];
  });
}

/** The last acquisition before a time; its holder may have given the Lease up since. Times of an audit log compare as text. */
const acquisitionAt = (acquisitions: readonly Acquisition[], time: string): Acquisition | undefined =>
  acquisitions.findLast(({ at }) => at <= time);

const idOf = ({ user }: AuditEvent): string => user.extra?.["authentication.kubernetes.io/credential-id"]?.[0] ?? "";
