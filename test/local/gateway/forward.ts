// Sends a request on from the local cloud's gateway to the emulator.
import { request, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Endpoint } from "../settings.ts";

export interface Changes {
  readonly path?: string | undefined;
  readonly host?: string;
  readonly body?: Buffer;
  readonly headers?: IncomingHttpHeaders;
}

/** Sends a request on, with another path, host, body or other headers where they are given: the emulator checks the signature over its own. */
export async function forward(
  emulator: Endpoint,
  incoming: IncomingMessage,
  { path = incoming.url, host, body, headers = incoming.headers }: Changes = {},
): Promise<IncomingMessage> {
  const { method } = incoming;
  const { authorization, ...rest } = headers;
  // The registry's Basic credentials are checked here and mean nothing to the emulator, which would take them for AWS's.
  const own = /^basic /i.test(authorization ?? "") ? rest : headers;
  const sent = {
    ...own,
    ...(host === undefined ? {} : { host }),
    ...(body === undefined ? {} : { "content-length": body.length }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: emulator.address, port: emulator.port, method, path, headers: sent }, resolve);
    outgoing.on("error", reject);
    pipeline(body === undefined ? incoming : [body], outgoing).catch(reject);
  });
}
