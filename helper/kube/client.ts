// The few calls of the Kubernetes API that the helper needs, over HTTP/2.
import { readFileSync } from "node:fs";
import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import { text } from "node:stream/consumers";
import { Http2Pool } from "./http2-pool.ts";
import { parseRetryAfter } from "../runtime/retry-after.ts";
import type { KubeRequest, Kube, KubeStream } from "./types.ts";
import { AnswerTooLargeError, KubeError } from "./errors.ts";

export interface KubeOptions {
  /** The API server's address, `https://HOST:PORT`. */
  readonly server: string;
  /** The certificates the API server's own is checked against, in PEM. */
  readonly ca: string;
  /** The bearer token, asked for at every call: a pod's token is renewed in its file. */
  readonly token: () => string;
  /** Told of every answer's status; 0 where none came. */
  readonly onAnswer?: (call: KubeRequest, status: number) => void;
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
const retryOnUnsent = 1_000;

/** A caller of one API server. Its connections are kept, and keep no process alive that waits for nothing. */
export function createKubeClient(options: KubeOptions): Kube {
  const connections = new Http2Pool(options.server, options.ca);
  return async <T>(call: KubeRequest) => {
    const { status, headers, body } = await wholeAnswer(send(options, connections, call, "close"), call);
    if (!isSuccess(status)) throw refusal(call, { status, headers }, body);
    return parse(call, headers, body) as T;
  };
}

/** Streams from one API server. A stream rejects with KubeError when it is refused, and ends when the server ends it. */
export function createKubeStream(options: KubeOptions): KubeStream {
  const connections = new Http2Pool(options.server, options.ca);
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
  connections: Http2Pool,
  call: KubeRequest,
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
    }, timeout - retryOnUnsent);
  }, retryOnUnsent);
  let status = 0;
  stream.once("response", ({ ":status": code = 0 }) => options.onAnswer?.(call, (status = code)));
  stream.once(inTime, () => clearTimeout(timer));
  stream.once("close", () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
    // What the caller itself gave up is nothing that the API server failed to do.
    if (status === 0 && signal?.aborted !== true) options.onAnswer?.(call, 0);
  });
  if (signal?.aborted === true) giveUp();
  else signal?.addEventListener("abort", giveUp);
  return stream;
}

interface Beginning {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

const refusal = (call: KubeRequest, { status, headers }: Beginning, body: string): KubeError =>
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
  { discardResponse = false, maxBytes = Infinity, path }: KubeRequest,
): Promise<Beginning & { readonly body: string }> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let headers: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
    let isKept = !discardResponse;
    stream
      .once("response", (all) => {
        headers = all;
        isKept ||= !isSuccess(all[":status"] ?? 0);
      })
      .on("data", (chunk: Buffer) => {
        if (isKept) chunks.push(chunk);
        size += chunk.length;
        if (size <= maxBytes) return;
        chunks.length = 0;
        stream.destroy(new AnswerTooLargeError(`${path} was answered with more than ${String(maxBytes)} bytes`));
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
function parse(call: KubeRequest, { "content-type": type = "" }: IncomingHttpHeaders, body: string): unknown {
  const { method, path, discardResponse = false } = call;
  if (type.startsWith("text/plain") && !discardResponse) return body;
  // A page, say, is not the API server's word that it has done what it was asked for.
  if (type.startsWith("application/json") && discardResponse) return undefined;
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
