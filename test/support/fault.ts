// What can go wrong with one request between the helper and what it calls.
import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

/** A request on its way through the proxy. */
export interface Exchange {
  readonly request: ReceivedRequest;
  readonly outgoing: ServerResponse;
  /** Set, nothing more of its answer is passed on, and its connection stays open. */
  isMuted: boolean;
  /** Aborts when the client has its answer, or is gone. */
  readonly signal: AbortSignal;
  /** Sends the request on, and gives the answer. */
  forward(): Promise<IncomingMessage>;
  /** The client's connection, below TLS; undefined when it is gone. */
  readonly socket: Socket | undefined;
  /** Breaks the client's connection. */
  reset(): void;
}

/** Deals with a request. One that rejects breaks the connection. */
export type Fault = (exchange: Exchange) => Promise<void>;

/** What stands for one connection only, or for a protocol, is no header of the next one. */
const hopHeaders = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "http2-settings"]);
export const forwarded = (headers: IncomingHttpHeaders): OutgoingHttpHeaders =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !hopHeaders.has(name) && !name.startsWith(":")));

const writeHead = ({ outgoing }: Exchange, { statusCode = 502, headers }: IncomingMessage): void => {
  outgoing.writeHead(statusCode, forwarded(headers));
  outgoing.flushHeaders();
};

const write = async ({ outgoing, signal }: Exchange, chunk: Uint8Array): Promise<void> => {
  if (!outgoing.write(chunk)) await once(outgoing, "drain", { signal });
};

/** No fault: passes everything on as it comes. */
export const pass: Fault = async (exchange) => {
  const answer = await exchange.forward();
  writeHead(exchange, answer);
  for await (const chunk of answer) if (!exchange.isMuted) await write(exchange, chunk as Buffer);
  if (!exchange.isMuted) exchange.outgoing.end();
};

export const delay =
  (milliseconds: number, then: Fault = pass): Fault =>
  async (exchange) => {
    await sleep(milliseconds, undefined, { signal: exchange.signal });
    await then(exchange);
  };

/** Breaks the request off before anything is sent on; its connection too, unless others share it (HTTP/2). */
export const abort: Fault = async ({ outgoing }) => {
  outgoing.destroy();
  return Promise.resolve();
};

/** Breaks the connection before anything is sent on. */
export const reset: Fault = async (exchange) => {
  exchange.reset();
  return Promise.resolve();
};

/** Sends the request on, and breaks it off before its answer; its connection too, unless others share it (HTTP/2). */
export const abortAfterForward: Fault = async (exchange) => {
  await buffer(await exchange.forward());
  exchange.outgoing.destroy();
};

/** Sends the request on, and breaks the connection before its answer: what was asked for is done, and nobody is told. */
export const resetAfterForward: Fault = async (exchange) => {
  await buffer(await exchange.forward());
  exchange.reset();
};

/** Breaks the answer off in the middle of its body. */
export const truncate =
  (bytes: number): Fault =>
  async (exchange) => {
    const answer = await exchange.forward();
    const body = await buffer(answer);
    writeHead(exchange, answer);
    await write(exchange, body.subarray(0, bytes));
    // What is written has to leave before.
    await sleep(20, undefined, { signal: exchange.signal });
    exchange.outgoing.destroy();
  };

/** Answers by itself, an object as JSON. */
export const answer =
  (status: number, body: object | string = "", headers: OutgoingHttpHeaders = {}): Fault =>
  async ({ outgoing }) => {
    const isText = typeof body === "string";
    outgoing.writeHead(status, { "content-type": isText ? "text/html" : "application/json", ...headers });
    outgoing.end(isText ? body : JSON.stringify(body));
    return Promise.resolve();
  };

/** Answers with what is no HTTP at all. */
export const garble: Fault = async ({ socket }) => {
  socket?.end("\u0000\u0001garbage\n");
  return Promise.resolve();
};

/** Passes the answer on, its body so many bytes at a time. */
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

/** Takes the request and never answers. */
export const hang: Fault = async () => Promise.resolve();

/** Sends the answer's head, and nothing after it. */
export const silence: Fault = async (exchange) => {
  exchange.isMuted = true;
  await pass(exchange);
};

/** Passes the answer on with another body, both of them JSON. */
export const rewrite =
  (change: (body: object) => object): Fault =>
  async (exchange) => {
    const answer = await exchange.forward();
    const body = JSON.stringify(change(JSON.parse(String(await buffer(answer))) as object));
    const headers = { ...forwarded(answer.headers), "content-length": Buffer.byteLength(body) };
    exchange.outgoing.writeHead(answer.statusCode ?? 502, headers);
    exchange.outgoing.end(body);
  };
/** What came of a request, as far as tests ask for it. */

export interface ReceivedRequest {
  /** In milliseconds since 1970. */
  readonly receivedAt: number;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}
