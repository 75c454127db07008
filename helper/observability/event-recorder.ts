// Kubernetes Events: `kubectl describe` and `kubectl get events` tell what the log does.
import { sanitize } from "../shared/messages.ts";
import { fieldManager } from "../shared/ownership.ts";
import type { Kube } from "../kube/types.ts";

const kinds: Record<string, [apiVersion: string, kind: string]> = {
  secret: ["v1", "Secret"],
  serviceaccount: ["v1", "ServiceAccount"],
  deployment: ["apps/v1", "Deployment"],
};

/** The API server takes no longer message, in bytes. */
const maxMessage = 1024;

/** The beginning of a text that has so many bytes at the most; no character is cut. */
const withinBytes = (text: string, most: number): string => {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(most));
  return text.slice(0, read);
};

/** Records an Event of type Warning on an object, named as kubectl does: `secret/ecr-creds`. */
export async function recordWarning(
  kube: Kube,
  namespace: string,
  object: string,
  reason: string,
  message: string,
): Promise<void> {
  const [resource = "", name = ""] = object.split("/");
  const [apiVersion, kind] = kinds[resource] ?? ["v1", resource];
  const now = new Date().toISOString();
  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { generateName: `${name}.`, namespace },
    involvedObject: { apiVersion, kind, namespace, name },
    type: "Warning",
    reason,
    message: withinBytes(sanitize(message), maxMessage),
    source: { component: fieldManager },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
  await kube({ method: "POST", path: `/api/v1/namespaces/${namespace}/events`, body: event });
}
