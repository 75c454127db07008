// Forwards requests from the gateway to the emulator.
import { request, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Endpoint } from "../settings.ts";

/** What differs between the incoming request and the forwarded one. */
export interface Changes {
  readonly path?: string | undefined;
  readonly host?: string;
  readonly body?: Buffer;
  readonly headers?: IncomingHttpHeaders;
}

/** Forwards a request and resolves with the response's head; its body is still to be read. Rejects where the connection fails. */
export async function forward(
  emulator: Endpoint,
  incoming: IncomingMessage,
  { path = incoming.url, host, body, headers = incoming.headers }: Changes = {},
): Promise<IncomingMessage> {
  const { method } = incoming;
  const { authorization, ...rest } = headers;
  // The gateway has checked the registry's Basic credentials; the emulator would take them for credentials of AWS.
  const forwardedHeaders = /^basic /i.test(authorization ?? "") ? rest : headers;
  const sent = {
    ...forwardedHeaders,
    ...(host === undefined ? {} : { host }),
    ...(body === undefined ? {} : { "content-length": body.length }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: emulator.address, port: emulator.port, method, path, headers: sent }, resolve);
    outgoing.on("error", reject);
    pipeline(body === undefined ? incoming : [body], outgoing).catch(reject);
  });
}
