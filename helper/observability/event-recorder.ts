// Kubernetes Events, so that `kubectl describe` and `kubectl get events` show the most important lines of the log.
import type { ObjectRef } from "../kube/object-ref.ts";
import type { Kube } from "../kube/types.ts";
import type { Log } from "../runtime/logger.ts";
import { errorMessage, sanitize } from "../shared/messages.ts";
import { fieldManager } from "../shared/ownership.ts";

const apiVersions: Record<ObjectRef["kind"], string> = { Secret: "v1", ServiceAccount: "v1", Deployment: "apps/v1" };

/** The API server accepts no longer message, in bytes. */
const maxMessage = 1024;

/** The beginning of a text that fits into so many bytes, without cutting a character. */
const truncate = (text: string, maxBytes: number): string => {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes));
  return text.slice(0, read);
};

/**
 * Records an Event of type Warning on an object, with a reason in one word. Rejects with KubeError or the network's error. Long
 * messages are truncated.
 */
export async function recordWarning(
  kube: Kube,
  namespace: string,
  { kind, name }: ObjectRef,
  reason: string,
  message: string,
): Promise<void> {
  const now = new Date().toISOString();
  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { generateName: `${name}.`, namespace },
    involvedObject: { apiVersion: apiVersions[kind], kind, namespace, name },
    type: "Warning",
    reason,
    message: truncate(sanitize(message), maxMessage),
    source: { component: fieldManager },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
  await kube({ method: "POST", path: `/api/v1/namespaces/${namespace}/events`, body: event });
}

/** Records an Event of type Warning on an object. Never throws. */
export type Warn = (namespace: string, object: ObjectRef, reason: string, message: string) => void;

/** Creates a `Warn` that logs an Event which could not be recorded. */
export const createWarn =
  (kube: Kube, log: Log): Warn =>
  (namespace, object, reason, message) => {
    recordWarning(kube, namespace, object, reason, message).catch((error: unknown) =>
      log("warn", `no Event could be recorded in namespace ${namespace}: ${errorMessage(error)}`),
    );
  };
