// The faults that a proxy can inject into a request.
import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

/** A request on its way through the proxy. */
export interface Exchange {
  readonly request: ReceivedRequest;
  readonly outgoing: ServerResponse;
  /** If true, nothing more of the response is forwarded, and the connection stays open. */
  isMuted: boolean;
  /** Aborts when the client has the whole response, or has disconnected. */
  readonly signal: AbortSignal;
  /** Forwards the request and resolves with the response. */
  forward(): Promise<IncomingMessage>;
  /** The client's connection, below TLS; undefined if it is closed. */
  readonly socket: Socket | undefined;
  /** Resets the client's connection. */
  reset(): void;
}

/** Handles a request; if it rejects, the connection is reset. */
export type Fault = (exchange: Exchange) => Promise<void>;

/** Headers that belong to one connection or to HTTP/2, which must not be forwarded. */
const hopHeaders = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "http2-settings"]);
/** The headers of a message without those that must not be forwarded. */
export const forwarded = (headers: IncomingHttpHeaders): OutgoingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !hopHeaders.has(name) && !name.startsWith(":")));

const writeHead = ({ outgoing }: Exchange, { statusCode = 502, headers }: IncomingMessage): void => {
  outgoing.writeHead(statusCode, forwarded(headers));
  outgoing.flushHeaders();
};

const write = async ({ outgoing, signal }: Exchange, chunk: Uint8Array): Promise<void> => {
  if (!outgoing.write(chunk)) await once(outgoing, "drain", { signal });
};

/** No fault: forwards the request, and the response as it arrives. */
export const pass: Fault = async (exchange) => {
  const answer = await exchange.forward();
  writeHead(exchange, answer);
  for await (const chunk of answer) if (!exchange.isMuted) await write(exchange, chunk as Buffer);
  if (!exchange.isMuted) exchange.outgoing.end();
};

/** Waits some milliseconds before it forwards the request, or continues with another fault. */
export const delay =
  (milliseconds: number, then: Fault = pass): Fault =>
  async (exchange) => {
    await sleep(milliseconds, undefined, { signal: exchange.signal });
    await then(exchange);
  };

/** Aborts the request before it is forwarded; with HTTP/1.1 this closes the connection. */
export const abort: Fault = async ({ outgoing }) => {
  outgoing.destroy();
  return Promise.resolve();
};

/** Resets the connection before the request is forwarded. */
export const reset: Fault = async (exchange) => {
  exchange.reset();
  return Promise.resolve();
};

/** Forwards the request, and aborts it before its response; with HTTP/1.1 this closes the connection. */
export const abortAfterForward: Fault = async (exchange) => {
  await buffer(await exchange.forward());
  exchange.outgoing.destroy();
};

/** Forwards the request, and resets the connection before its response: the request takes effect, but the client cannot know. */
export const resetAfterForward: Fault = async (exchange) => {
  await buffer(await exchange.forward());
  exchange.reset();
};

/** Aborts the response after some bytes of its body. */
export const truncate =
  (bytes: number): Fault =>
  async (exchange) => {
    const answer = await exchange.forward();
    const body = await buffer(answer);
    writeHead(exchange, answer);
    await write(exchange, body.subarray(0, bytes));
    // Lets the bytes reach the client first.
    await sleep(20, undefined, { signal: exchange.signal });
    exchange.outgoing.destroy();
  };

/** Answers in place of the server. A string is sent as HTML, an object as JSON. */
export const answer =
  (status: number, body: object | string = "", headers: OutgoingHttpHeaders = {}): Fault =>
  async ({ outgoing }) => {
    const isText = typeof body === "string";
    outgoing.writeHead(status, { "content-type": isText ? "text/html" : "application/json", ...headers });
    outgoing.end(isText ? body : JSON.stringify(body));
    return Promise.resolve();
  };

/** Answers in place of the API server with a Status that refuses: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
export const kubernetesStatus = (code: number, reason: string, headers: OutgoingHttpHeaders = {}): Fault =>
  answer(code, { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message: "the test" }, headers);

/** Answers with bytes that are not HTTP. */
export const garble: Fault = async ({ socket }) => {
  socket?.end("\u0000\u0001garbage\n");
  return Promise.resolve();
};

/** Forwards the response's body slowly: `bytes` at a time, with a pause of `every` milliseconds. */
export const drip =
  (bytes: number, every: number): Fault =>
  async (exchange) => {
    const answer = await exchange.forward();
    writeHead(exchange, answer);
    for await (const chunk of answer) {
      for (let from = 0; from < (chunk as Buffer).length; from += bytes) {
        await write(exchange, (chunk as Buffer).subarray(from, from + bytes));
        await sleep(every, undefined, { signal: exchange.signal });
      }
    }
    exchange.outgoing.end();
  };

/** Never answers. */
export const hang: Fault = async () => Promise.resolve();

/** Forwards the response's status and headers, and nothing more. */
export const silence: Fault = async (exchange) => {
  exchange.isMuted = true;
  await pass(exchange);
};

/** Forwards the response with a changed JSON body. */
export const rewrite =
  (change: (body: object) => object): Fault =>
  async (exchange) => {
    const answer = await exchange.forward();
    const body = JSON.stringify(change(JSON.parse(String(await buffer(answer))) as object));
    const headers = { ...forwarded(answer.headers), "content-length": Buffer.byteLength(body) };
    exchange.outgoing.writeHead(answer.statusCode ?? 502, headers);
    exchange.outgoing.end(body);
  };

/** A request that the proxy received. */
export interface ReceivedRequest {
  /** In milliseconds since 1970. */
  readonly receivedAt: number;
  readonly method: string;
  /** The path with the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}
