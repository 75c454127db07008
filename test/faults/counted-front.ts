// A front with tokens of a chosen life, and the count of those that were asked of it.
import { EventEmitter, once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { startFront } from "../local/front.ts";
import { loopback, ports, url, type Endpoint } from "../local/machine.ts";

export interface CountedFront {
  /** Where the helper finds AWS. */
  readonly env: { AWS_ENDPOINT_URL: string };
  readonly registry: Endpoint;
  /** How often ECR was asked for a token so far, by region. */
  readonly asked: ReadonlyMap<string, number>;
  /** Resolves when it is asked for one again, before there is an answer. */
  readonly next: () => Promise<unknown>;
  close(): Promise<void>;
}

/** `tokenLife` is in milliseconds. */
export async function startCountedFront(tokenLife: number): Promise<CountedFront> {
  const any = { address: loopback, port: 0 };
  const front = await startFront({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  const asked = new Map<string, number>();
  const events = new EventEmitter();
  const server = createServer((incoming, response) => {
    const { method, url: path, headers } = incoming;
    if (String(headers["x-amz-target"]).endsWith(".GetAuthorizationToken")) {
      // Signed for a region: `Credential=KEY/DATE/REGION/ecr/aws4_request`.
      const region = /Credential=[^/]+\/\d+\/([^/]+)\//.exec(headers.authorization ?? "")?.[1] ?? "";
      asked.set(region, (asked.get(region) ?? 0) + 1);
      events.emit("asked");
    }
    const onward = request({ host: front.api.address, port: front.api.port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      // A helper that was killed took no answer.
      pipeline(answer, response).catch(() => response.destroy());
    });
    onward.on("error", () => response.destroy());
    pipeline(incoming, onward).catch(() => onward.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, loopback, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    env: { AWS_ENDPOINT_URL: url({ address: loopback, port }) },
    registry: front.registry,
    asked,
    next: async () => once(events, "asked"),
    close: async () => {
      await new Promise((done) => server.close(done).closeAllConnections());
      await front.close();
    },
  };
}
