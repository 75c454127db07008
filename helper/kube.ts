// The few calls of the Kubernetes API that the helper needs, over Node's own HTTPS with kept connections.
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { text } from "node:stream/consumers";

export interface KubeOptions {
  /** The API server's address, `https://HOST:PORT`. */
  readonly server: string;
  /** The certificates the API server's own is checked against, in PEM. */
  readonly ca: string;
  /** The bearer token, asked for at every call: a pod's token is renewed in its file. */
  readonly token: () => string;
  /** Told of every answer's status; 0 where none came. */
  readonly answered?: (call: Call, status: number) => void;
}

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  /** An object, or its JSON: encoded already, where it is sent many times. */
  readonly body?: object | string | Buffer | undefined;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
}

/** Resolves to the parsed answer (a log: its text), or rejects with KubeError or the network's error. */
export type Kube = <T>(call: Call) => Promise<T>;
/** The lines of an answer that goes on for as long as the API server, or the call's signal, lets it: a watch. */
export type KubeStream = (call: Call & { readonly signal: AbortSignal }) => AsyncGenerator<string, void>;

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

/** How long a call may take, and a stream until its first byte, in milliseconds. */
const timeout = 30_000;

/** A caller of one API server. */
export function connect(options: KubeOptions): Kube {
  const agent = new Agent({ keepAlive: true, ca: options.ca });
  return async <T>(call: Call) => {
    const signals = [AbortSignal.timeout(timeout), ...(call.signal === undefined ? [] : [call.signal])];
    const incoming = await send(options, agent, call, AbortSignal.any(signals));
    const answer = await text(incoming);
    const status = incoming.statusCode ?? 0;
    if (status < 200 || status > 299) throw new KubeError(call, status, answer);
    const type = incoming.headers["content-type"] ?? "";
    return (type.startsWith("application/json") ? JSON.parse(answer) : answer) as T;
  };
}

/** Streams from one API server. A stream rejects with KubeError when it is refused, and ends when the server ends it. */
export function connectStreams(options: KubeOptions): KubeStream {
  const agent = new Agent({ ca: options.ca });
  return async function* (call) {
    const over = new AbortController();
    const timer = setTimeout(
      () => over.abort(new Error(`${call.path} was not answered in ${String(timeout)} ms`)),
      timeout,
    );
    try {
      const incoming = await send(options, agent, call, AbortSignal.any([over.signal, call.signal]));
      clearTimeout(timer);
      const status = incoming.statusCode ?? 0;
      if (status !== 200) throw new KubeError(call, status, await text(incoming));
      // A peer that vanished without a word is noticed by the kernel.
      incoming.socket.setKeepAlive(true, 15_000);
      let rest = "";
      for await (const chunk of incoming.setEncoding("utf8")) {
        const lines = (rest + String(chunk)).split("\n");
        rest = lines.pop() ?? "";
        yield* lines;
      }
    } finally {
      clearTimeout(timer);
      over.abort();
    }
  };
}

async function send(options: KubeOptions, agent: Agent, call: Call, signal: AbortSignal): Promise<IncomingMessage> {
  const { method, accept = "application/json", contentType = "application/json", path } = call;
  const body = typeof call.body === "object" && !Buffer.isBuffer(call.body) ? JSON.stringify(call.body) : call.body;
  const headers: Record<string, string> = { authorization: `Bearer ${options.token()}`, accept };
  if (body !== undefined) {
    headers["content-type"] = contentType;
    // Without it Node sends the body of a DELETE unannounced, and the API server takes it for the next request.
    headers["content-length"] = String(Buffer.byteLength(body));
  }
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request(`${options.server}${path}`, { agent, method, headers, signal }, resolve);
    outgoing.on("error", reject);
    outgoing.end(body);
  }).catch((error: unknown) => {
    // What the caller itself gave up is nothing that the API server failed to do.
    if (call.signal?.aborted !== true) options.answered?.(call, 0);
    throw error;
  });
  options.answered?.(call, incoming.statusCode ?? 0);
  return incoming;
}

/** What to accept so that only an object's metadata comes, or of a list its objects' (`PartialObjectMetadataList`). */
export const metadataOnly = (kind = "PartialObjectMetadata"): string =>
  `application/json;as=${kind};g=meta.k8s.io;v=v1`;

/** Whether a failure says that the caller has no right to what it tried. */
export const isForbidden = (error: unknown): boolean => error instanceof KubeError && error.status === 403;

/** Gives undefined where the call was answered NotFound. */
export const orUndefined = async <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (error instanceof KubeError && error.status === 404) return undefined;
    throw error;
  });
