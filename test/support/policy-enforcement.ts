// Whether the API server enforces the admission policies for a helper's requests.
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import type { KubeRequest } from "../../helper/kube/types.ts";
import type { Cluster } from "./helper-process.ts";

/** The API server's message if it denies a request, otherwise empty. `KubeError` does not contain it, to keep it out of logs. */
export async function denialMessage(
  { server, ca, token }: Cluster,
  { method, path, contentType, body }: KubeRequest,
): Promise<string> {
  const sent = JSON.stringify(body);
  const headers = {
    authorization: `Bearer ${token}`,
    "content-type": contentType ?? "application/json",
    "content-length": Buffer.byteLength(sent),
  };
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    request(`${server}${path}`, { method, ca, headers }, resolve).once("error", reject).end(sent);
  });
  const response = await text(answer);
  return (answer.statusCode ?? 0) < 300 ? "" : (JSON.parse(response) as { message: string }).message;
}

/** A dry run of a secret that the policy denies to the helper, in its own namespace. */
const deniedRequest = (namespace: string, pullSecret: string): KubeRequest => ({
  method: "PATCH",
  path: `/api/v1/namespaces/${namespace}/secrets/${pullSecret}?fieldManager=ecr-helper&dryRun=All`,
  contentType: "application/apply-patch+yaml",
  body: { apiVersion: "v1", kind: "Secret", metadata: { name: pullSecret }, type: "Opaque" },
});

/** Resolves when the policy for secrets is enforced: an API server needs about a second for a new one. */
export async function waitForPolicy(cluster: Cluster, namespace: string, pullSecret: string): Promise<void> {
  while (!(await denialMessage(cluster, deniedRequest(namespace, pullSecret))).includes("ValidatingAdmissionPolicy"))
    await delay(20);
}
