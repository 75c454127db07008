// A small client of the Kubernetes API, over HTTP/2.
import { readFileSync } from "node:fs";
import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import { text } from "node:stream/consumers";
import { Http2Pool } from "./http2-pool.ts";
import { parseRetryAfter } from "../runtime/retry-after.ts";
import type { KubeClient, KubeRequest, KubeStream } from "./types.ts";
import { ResponseTooLargeError, KubeError, interrupted, rootCause } from "./errors.ts";

/** How to reach one API server, and as whom. */
export interface KubeOptions {
  /** The API server's address, `https://HOST:PORT`. */
  readonly server: string;
  /** Returns the CA certificates, in PEM. It is called for every new connection, as a cluster may replace its CA. */
  readonly ca: () => string;
  /** Returns the bearer token. It is called for every request, as the kubelet renews a pod's token. */
  readonly token: () => string;
  /** Whether anything may be sent now; asked at the last moment. Always by default. */
  readonly mayWrite?: () => boolean;
  /** Called with the status of every response; 0 where there was none. */
  readonly onAnswer?: (request: KubeRequest, status: number) => void;
}

/**
 * The API server as a pod reaches it whose service account is mounted at `folder`. Throws outside of such a pod. The
 * kubelet replaces the files there; each is read again after a second.
 * https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
 */
export function inCluster(
  env: Readonly<Record<string, string | undefined>>,
  folder = "/var/run/secrets/kubernetes.io/serviceaccount",
): KubeOptions {
  const [host = "kubernetes.default.svc", port = "443"] = [
    env["KUBERNETES_SERVICE_HOST"],
    env["KUBERNETES_SERVICE_PORT"],
  ];
  const read = (file: string): (() => string) =>
    cachedFor(1_000, () => readFileSync(`${folder}/${file}`, "utf8").trim());
  const [ca, token] = [read("ca.crt"), read("token")];
  // Throws now where there is none, not at every request.
  ca();
  return { server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`, ca, token };
}

/** Caches what `find` returns for that time. */
function cachedFor(milliseconds: number, find: () => string): () => string {
  let [found, until] = ["", -Infinity];
  return () => {
    if (performance.now() >= until) [found, until] = [find(), performance.now() + milliseconds];
    return found;
  };
}

/** How long a request may take, or a stream until its response begins, in milliseconds. */
const timeout = 30_000;
/** The connection of a request that takes longer than this, in milliseconds, is checked. */
const checkAfter = 1_000;

/** A client of one API server. It keeps connections open; idle ones do not keep the process alive. */
export function createKubeClient(options: KubeOptions): KubeClient {
  const pool = new Http2Pool(options.server, options.ca, options.mayWrite);
  const kube = async <T>(request: KubeRequest): Promise<T> => {
    const { status, headers, body } = await readResponse(send(options, pool, request, "close"), request);
    if (!isSuccess(status)) throw errorOf(request, { status, headers }, body);
    return parse(request, headers, body) as T;
  };
  return Object.assign(kube, { reset: () => pool.reset() });
}

/** A client for watches. A stream rejects with KubeError when it is refused, and ends when the API server ends it. */
export function createKubeStream(options: KubeOptions): KubeStream {
  const pool = new Http2Pool(options.server, options.ca);
  return async function* (request) {
    const stream = send(options, pool, request, "response");
    const { status, headers } = await readHead(stream);
    if (status !== 200) throw errorOf(request, { status, headers }, await text(stream));
    // A line may be megabytes long and arrive in hundreds of chunks: they are joined once.
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

/** Sends a request. The stream fails when the signal aborts, or when it has not emitted `awaited` within `timeout`. */
function send(
  options: KubeOptions,
  pool: Http2Pool,
  request: KubeRequest,
  awaited: "response" | "close",
): ClientHttp2Stream {
  const { method, path, accept = "application/json", contentType = "application/json", signal } = request;
  const body =
    typeof request.body === "object" && !Buffer.isBuffer(request.body) ? JSON.stringify(request.body) : request.body;
  const authorization = `Bearer ${options.token()}`;
  const headers: Record<string, string> = { ":method": method, ":path": path, authorization, accept };
  if (body !== undefined) headers["content-type"] = contentType;
  const stream = pool.request(headers, body);
  const abort = (): void => void stream.destroy(signal?.reason as Error);
  let timer = setTimeout(() => {
    pool.check(stream);
    timer = setTimeout(() => {
      pool.checkTimedOut(stream);
      stream.destroy(new Error(`${method} ${path} was not answered in ${String(timeout)} ms`));
    }, timeout - checkAfter);
  }, checkAfter);
  let status = 0;
  stream.once("response", ({ ":status": code = 0 }) => options.onAnswer?.(request, (status = code)));
  stream.once(awaited, () => clearTimeout(timer));
  stream.once("close", () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
    // A request that the caller aborted is not a failure of the API server.
    if (status === 0 && signal?.aborted !== true) options.onAnswer?.(request, 0);
  });
  if (signal?.aborted === true) abort();
  else signal?.addEventListener("abort", abort);
  return stream;
}

interface ResponseHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

const errorOf = (request: KubeRequest, { status, headers }: ResponseHead, body: string): KubeError =>
  new KubeError(request, status, body, parseRetryAfter(headers["retry-after"], Date.now()));

/** Resolves when a response begins. */
const readHead = async (stream: ClientHttp2Stream): Promise<ResponseHead> =>
  new Promise((resolve, reject) => {
    stream
      .once("response", (headers) => resolve({ status: headers[":status"] ?? 0, headers }))
      .on("error", (error: Error) => reject(rootCause(error)))
      .once("close", () => reject(interrupted()));
  });

const isSuccess = (status: number): boolean => status >= 200 && status <= 299;

/**
 * Reads a whole response. It listens to every event from the start, as the response may end before an await continues. With
 * `discardResponse` it keeps the body of an error only.
 */
const readResponse = async (
  stream: ClientHttp2Stream,
  { discardResponse = false, maxBytes = Infinity, path }: KubeRequest,
): Promise<ResponseHead & { readonly body: string }> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    let headers: IncomingHttpHeaders & IncomingHttpStatusHeader = {};
    // Behind a gate, data may arrive before the headers that say whether to keep it.
    let isKept = true;
    stream
      .once("response", (all) => {
        headers = all;
        isKept = !discardResponse || !isSuccess(all[":status"] ?? 0);
        if (!isKept) chunks.length = 0;
      })
      .on("data", (chunk: Buffer) => {
        if (isKept) chunks.push(chunk);
        size += chunk.length;
        if (size <= maxBytes) return;
        chunks.length = 0;
        stream.destroy(new ResponseTooLargeError(`${path} was answered with more than ${String(maxBytes)} bytes`));
      })
      .once("end", () => {
        // A connection that closes normally ends the streams that have no response yet.
        const { ":status": status } = headers;
        if (status === undefined) reject(interrupted());
        else resolve({ status, headers, body: String(Buffer.concat(chunks)) });
      })
      .on("error", (error: Error) => reject(rootCause(error)))
      .once("close", () => stream.readableEnded || reject(interrupted()));
  });

/** Parses text (a log) or JSON. An error does not quote the body: it may be half of a secret. */
function parse(request: KubeRequest, { "content-type": type = "" }: IncomingHttpHeaders, body: string): unknown {
  const { method, path, discardResponse = false } = request;
  if (type.startsWith("text/plain") && !discardResponse) return body;
  // Another type, such as a page of HTML, does not come from the API server: the request may not have been served.
  if (type.startsWith("application/json") && discardResponse) return undefined;
  try {
    return JSON.parse(body);
  } catch {
    throw new Error(
      `${method} ${path} was answered with what is not Kubernetes' JSON (content type ${type || "none"})`,
    );
  }
}

/** The `accept` for the metadata of an object, or of the objects in a list (`PartialObjectMetadataList`). */
export const acceptMetadataOnly = (kind = "PartialObjectMetadata"): string =>
  `application/json;as=${kind};g=meta.k8s.io;v=v1`;
