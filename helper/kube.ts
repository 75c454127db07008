// The few calls of the Kubernetes API that the helper needs, over Node's own HTTPS with kept connections.
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";

export interface KubeOptions {
  /** The API server's address, `https://HOST:PORT`. */
  readonly server: string;
  /** The certificates the API server's own is checked against, in PEM. */
  readonly ca: string;
  /** The bearer token, asked for at every call: a pod's token is renewed in its file. */
  readonly token: () => string;
}

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: object | undefined;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
}

export type Kube = <T>(call: Call) => Promise<T>;

/** A call the API server refused. `reason` is Kubernetes' own word for it, such as NotFound or Conflict. */
export class KubeError extends Error {
  readonly status: number;
  readonly reason: string;
  constructor(call: Call, status: number, body: string) {
    const answer = parseStatus(body);
    // A refused object's values stand in the messages of 400 and 422, and ours are secrets: there only the reason is safe.
    const safe = status === 400 || status === 422 ? answer.reason : answer.message;
    super(`${call.method} ${call.path} was answered ${String(status)} ${safe}`);
    this.status = status;
    this.reason = answer.reason;
  }
}

function parseStatus(body: string): { reason: string; message: string } {
  try {
    const { reason, message, details } = JSON.parse(body) as Status;
    const cause = details?.causes?.find((one) => one.reason === "NamespaceTerminating")?.reason;
    return { reason: cause ?? reason ?? "", message: message ?? reason ?? "" };
  } catch {
    return { reason: "", message: "with something that is not Kubernetes' status" };
  }
}

interface Status {
  reason?: string;
  message?: string;
  details?: { causes?: { reason?: string }[] };
}

/** What every pod with a mounted service account finds: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
export function inCluster(env: Readonly<Record<string, string | undefined>>): KubeOptions {
  const folder = "/var/run/secrets/kubernetes.io/serviceaccount";
  const [host = "kubernetes.default.svc", port = "443"] = [
    env["KUBERNETES_SERVICE_HOST"],
    env["KUBERNETES_SERVICE_PORT"],
  ];
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    ca: readFileSync(`${folder}/ca.crt`, "utf8"),
    token: () => readFileSync(`${folder}/token`, "utf8").trim(),
  };
}

const timeout = 30_000;

interface Answer {
  status: number;
  type: string;
  answer: string;
}

/** A caller of one API server. A call resolves to the parsed answer (a log: its text), or rejects with KubeError or the network's error. */
export function connect({ server, ca, token }: KubeOptions): Kube {
  const agent = new Agent({ keepAlive: true, ca });
  return async <T>(call: Call) => {
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const headers: Record<string, string> = {
      authorization: `Bearer ${token()}`,
      accept: call.accept ?? "application/json",
    };
    if (body !== undefined) headers["content-type"] = call.contentType ?? "application/json";
    const signals = [AbortSignal.timeout(timeout), ...(call.signal === undefined ? [] : [call.signal])];
    const { status, type, answer } = await new Promise<Answer>((resolve, reject) => {
      const options = { agent, method: call.method, headers, signal: AbortSignal.any(signals) };
      const outgoing = request(`${server}${call.path}`, options, (incoming) => {
        const { statusCode: status = 0, headers } = incoming;
        text(incoming).then((answer) => resolve({ status, type: headers["content-type"] ?? "", answer }), reject);
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });
    if (status < 200 || status > 299) throw new KubeError(call, status, answer);
    return (type.startsWith("application/json") ? JSON.parse(answer) : answer) as T;
  };
}

/** Gives undefined where the call was answered NotFound. */
export const orUndefined = async <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (error instanceof KubeError && error.status === 404) return undefined;
    throw error;
  });
