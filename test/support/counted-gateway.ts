// A front with tokens of a chosen life, and the count of those that were asked of it.
import { startFront } from "../local/gateway/main.ts";
import { loopback, ports, url, type Endpoint } from "../local/settings.ts";
import { pass, type ReceivedRequest } from "./fault.ts";
import { Proxy } from "./proxy.ts";

export interface CountedFront {
  /** Where the helper finds AWS. */
  readonly env: { AWS_ENDPOINT_URL: string };
  readonly registry: Endpoint;
  /** How often ECR was asked for a token so far, by region. */
  readonly asked: ReadonlyMap<string, number>;
  /** Resolves when it is asked for one again, before there is an answer. */
  readonly next: () => Promise<void>;
  close(): Promise<void>;
}

/** `tokenLife` is in milliseconds. */
export async function startCountedFront(tokenLife: number): Promise<CountedFront> {
  const any = { address: loopback, port: 0 };
  const front = await startFront({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  const proxy = await Proxy.start({ upstream: url(front.api) });
  const asked = new Map<string, number>();
  const requests = proxy.inject(isTokenRequest, async (exchange) => {
    const region = regionOf(exchange.request);
    asked.set(region, (asked.get(region) ?? 0) + 1);
    return pass(exchange);
  });
  return {
    env: { AWS_ENDPOINT_URL: proxy.url },
    registry: front.registry,
    asked,
    next: async () => requests.reached(requests.hits.length + 1),
    close: async () => {
      await proxy.close();
      await front.close();
    },
  };
}

export const isTokenRequest = ({ headers }: ReceivedRequest): boolean =>
  String(headers["x-amz-target"]).endsWith(".GetAuthorizationToken");

/** Which region of AWS a request is for, by its signature: `Credential=KEY/DATE/REGION/ecr/aws4_request`. */
export const regionOf = ({ headers }: ReceivedRequest): string =>
  /Credential=[^/]+\/\d+\/([^/]+)\//.exec(String(headers["authorization"]))?.[1] ?? "";
