// The few calls of the Kubernetes API that the helper needs, over HTTP/2.
import { readFileSync } from "node:fs";
import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import { text } from "node:stream/consumers";
import { Connections } from "./http2-pool.ts";
import { parseRetryAfter } from "../runtime/retry-after.ts";
import { fieldsIn, isText, listIn, parseFields } from "../runtime/shape.ts";

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
  /** Whether all that matters is that the call succeeds: what is answered then is not read, and undefined is given. */
  readonly answerUnread?: boolean;
  /** A longer answer, in bytes, is not taken: the call rejects with AnswerTooLargeError. */
  readonly mostBytes?: number;
}

/** An answer that is longer than the call takes. Nothing of it is kept. */
export class AnswerTooLargeError extends Error {}

/** Resolves to the parsed answer (a log: its text), or rejects with KubeError or the network's error. */
export type Kube = <T>(call: Call) => Promise<T>;
/** The lines of an answer that goes on for as long as the API server, or the call's signal, lets it: a watch. */
export type KubeStream = (call: Call & { readonly signal: AbortSignal }) => AsyncGenerator<string, void>;

/** A call the API server refused. `reason` is Kubernetes' own word for it, such as NotFound or Conflict. */
export class KubeError extends Error {
  readonly status: number;
  readonly reason: string;
  /** How long the API server wants to be left alone, in milliseconds; 0 when it does not say. */
  readonly retryAfter: number;
  constructor(call: Call, status: number, body: string, retryAfter = 0) {
    const answer = parseStatus(body);
    // What was sent may stand in the message, and it holds secrets: then only the reason is shown, and who refused.
    const isQuoting = call.body !== undefined || status === 400 || status === 422;
    const said = isQuoting ? `${answer.reason}${refuserIn(answer.message)}` : answer.message;
    const safe = answer.isStatus ? said : "with something that is not Kubernetes' status";
    super(`${call.method} ${call.path} was answered ${String(status)} ${safe}`);
    this.status = status;
    this.reason = answer.reason;
    this.retryAfter = retryAfter;
  }
}

/** A name as Kubernetes has them: nothing that was sent passes for one. */
const name = "[\\w.:*/-]{1,253}";
const admission = new RegExp(`ValidatingAdmissionPolicy '${name}'|admission webhook "${name}"`);
const authorization = new RegExp(
  `User "${name}" cannot ${name} resource "${name}" in API group "(?:${name})?"(?: in the namespace "${name}")?`,
);

/** Who refused, by the parts of a message that quote nothing else. */
function refuserIn(message: string): string {
  const begun = message.slice(0, maxMessage);
  const [refuser] = admission.exec(begun) ?? [];
  if (refuser !== undefined) return `, refused by ${refuser}`;
  const [lack] = authorization.exec(begun) ?? [];
  return lack === undefined ? "" : `, ${lack}`;
}

/** No more of a message is looked at, in characters. */
const maxMessage = 4_096;

function parseStatus(body: string): { isStatus: boolean; reason: string; message: string } {
  const { reason, message, details } = parseFields(body);
  const isStatus = reason !== undefined || message !== undefined;
  const reasons = listIn(fieldsIn(details)["causes"]).map((cause) => fieldsIn(cause)["reason"]);
  const known = reasons.includes(terminating) ? terminating : isText(reason) && /^\w{1,64}$/.test(reason) ? reason : "";
  return { isStatus, reason: known, message: isText(message) ? message : known };
}

const terminating = "NamespaceTerminating";

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
    token: freshFor(1_000, () => readFileSync(`${folder}/token`, "utf8").trim()),
  };
}

/** The same, but found out anew only after so many milliseconds. */
function freshFor(life: number, find: () => string): () => string {
  let [found, until] = ["", -Infinity];
  return () => {
    if (performance.now() >= until) [found, until] = [find(), performance.now() + life];
    return found;
  };
}

/** How long a call may take, and a stream until its answer begins, in milliseconds. */
const timeout = 30_000;
/** An answer that takes longer than this makes the connection suspect, in milliseconds. */
const patience = 1_000;

/** A caller of one API server. Its connections are kept, and keep no process alive that waits for nothing. */
export function connect(options: KubeOptions): Kube {
  const connections = new Connections(options.server, options.ca);
  return async <T>(call: Call) => {
    const { status, headers, body } = await wholeAnswer(send(options, connections, call, "close"), call);
    if (!isSuccess(status)) throw refusal(call, { status, headers }, body);
    return parse(call, headers, body) as T;
  };
}

/** Streams from one API server. A stream rejects with KubeError when it is refused, and ends when the server ends it. */
export function connectStreams(options: KubeOptions): KubeStream {
  const connections = new Connections(options.server, options.ca);
  return async function* (call) {
    const stream = send(options, connections, call, "response");
    const { status, headers } = await beginning(stream);
    if (status !== 200) throw refusal(call, { status, headers }, await text(stream));
    // A line may be megabytes long and come in hundreds of chunks: they are put together once.
    let parts: string[] = [];
    for await (const chunk of stream.setEncoding("utf8")) {
      const [first = "", ...others] = String(chunk).split("\n");
      parts.push(first);
      if (others.length === 0) continue;
      const last = others.pop() ?? "";
      yield parts.join("");
      yield* others;
      parts = [last];
    }
  };
}

/** Sends a call. The answer fails when the call's signal aborts, or when `inTime` has not happened to it in time. */
function send(
  options: KubeOptions,
  connections: Connections,
  call: Call,
  inTime: "response" | "close",
): ClientHttp2Stream {
  const { method, path, accept = "application/json", contentType = "application/json", signal } = call;
  const body = typeof call.body === "object" && !Buffer.isBuffer(call.body) ? JSON.stringify(call.body) : call.body;
  const authorization = `Bearer ${options.token()}`;
  const headers: Record<string, string> = { ":method": method, ":path": path, authorization, accept };
  if (body !== undefined) headers["content-type"] = contentType;
  const stream = connections.request(headers, body);
  const giveUp = (): void => void stream.destroy(signal?.reason as Error);
  let timer = setTimeout(() => {
    connections.check(stream);
    timer = setTimeout(() => {
      connections.doubt(stream);
      stream.destroy(new Error(`${method} ${path} was not answered in ${String(timeout)} ms`));
    }, timeout - patience);
  }, patience);
  let status = 0;
  stream.once("response", ({ ":status": code = 0 }) => options.answered?.(call, (status = code)));
  stream.once(inTime, () => clearTimeout(timer));
  stream.once("close", () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
    // What the caller itself gave up is nothing that the API server failed to do.
    if (status === 0 && signal?.aborted !== true) options.answered?.(call, 0);
  });
  if (signal?.aborted === true) giveUp();
  else signal?.addEventListener("abort", giveUp);
  return stream;
}

interface Beginning {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

const refusal = (call: Call, { status, headers }: Beginning, body: string): KubeError =>
  new KubeError(call, status, body, parseRetryAfter(headers["retry-after"], Date.now()));

/** Resolves when an answer begins. */
const beginning = async (stream: ClientHttp2Stream): Promise<Beginning> =>
  new Promise((resolve, reject) => {
    stream
      .once("response", (headers) => resolve({ status: headers[":status"] ?? 0, headers }))
      .on("error", (error: Error) => reject(originOf(error)))
      .once("close", () => reject(cutOff()));
  });

const isSuccess = (status: number): boolean => status >= 200 && status <= 299;

/**
 * Listens for everything at once: by the time an await goes on, an answer may have come and gone. One that is unread is
 * thrown away, unless it says what is wrong.
 */
const wholeAnswer = async (
  stream: ClientHttp2Stream,
  { answerUnread = false, mostBytes = Infinity, path }: Call,
): Promise<Beginning & { readonly body: string }> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let headers: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
    let isKept = !answerUnread;
    stream
      .once("response", (all) => {
        headers = all;
        isKept ||= !isSuccess(all[":status"] ?? 0);
      })
      .on("data", (chunk: Buffer) => {
        if (isKept) chunks.push(chunk);
        size += chunk.length;
        if (size <= mostBytes) return;
        chunks.length = 0;
        stream.destroy(new AnswerTooLargeError(`${path} was answered with more than ${String(mostBytes)} bytes`));
      })
      .once("end", () => {
        // A connection that is closed in peace ends what it never answered.
        const { ":status": status } = headers;
        if (status === undefined) reject(cutOff());
        else resolve({ status, headers, body: String(Buffer.concat(chunks)) });
      })
      .on("error", (error: Error) => reject(originOf(error)))
      .once("close", () => stream.readableEnded || reject(cutOff()));
  });

/** A log is text, and everything else is JSON. What is neither is not shown: it may be half of a secret. */
function parse(call: Call, { "content-type": type = "" }: IncomingHttpHeaders, body: string): unknown {
  const { method, path, answerUnread = false } = call;
  if (type.startsWith("text/plain") && !answerUnread) return body;
  // A page, say, is not the API server's word that it has done what it was asked for.
  if (type.startsWith("application/json") && answerUnread) return undefined;
  try {
    return JSON.parse(body);
  } catch {
    throw new Error(
      `${method} ${path} was answered with what is not Kubernetes' JSON (content type ${type || "none"})`,
    );
  }
}

const cutOff = (): Error => new Error("the API server's connection ended before its answer did");

/** A request that waited for its connection only says that it was cancelled: what ended the connection is its cause. */
const originOf = (error: Error): Error => (error.cause instanceof Error ? error.cause : error);

/** What to accept so that only an object's metadata comes, or of a list its objects' (`PartialObjectMetadataList`). */
export const metadataOnly = (kind = "PartialObjectMetadata"): string =>
  `application/json;as=${kind};g=meta.k8s.io;v=v1`;

/** Whether a failure says that the caller has no right to what it tried. */
export const isForbidden = (error: unknown): boolean => error instanceof KubeError && error.status === 403;

/** Whether a failure tells nothing about what was asked for, but that the API server, or the way to it, is unwell. */
export const isUnwell = (error: unknown): boolean =>
  !(error instanceof KubeError) || error.status >= 500 || error.status === 429 || error.status === 401;

/** Gives undefined where the call was answered NotFound. */
export const orUndefined = async <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (error instanceof KubeError && error.status === 404) return undefined;
    throw error;
  });
