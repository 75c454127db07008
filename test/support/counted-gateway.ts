// A gateway whose tokens live as long as a test wants, and which counts the requests for them.
import { startGateway } from "../local/gateway/main.ts";
import { loopback, ports, url, type Endpoint } from "../local/settings.ts";
import { pass, type ReceivedRequest } from "./fault.ts";
import { Proxy } from "./proxy.ts";

export interface CountedGateway {
  /** The variable that directs a helper to it. */
  readonly env: { AWS_ENDPOINT_URL: string };
  readonly registry: Endpoint;
  /** How many tokens were requested so far, by region. */
  readonly asked: ReadonlyMap<string, number>;
  /** Resolves at the next request for a token, before its answer. */
  readonly next: () => Promise<void>;
  close(): Promise<void>;
}

/** `tokenLife` is in milliseconds. */
export async function startCountedGateway(tokenLife: number): Promise<CountedGateway> {
  const any = { address: loopback, port: 0 };
  const gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  const proxy = await Proxy.start({ upstream: url(gateway.api) });
  const asked = new Map<string, number>();
  const requests = proxy.inject(isTokenRequest, async (exchange) => {
    const region = regionOf(exchange.request);
    asked.set(region, (asked.get(region) ?? 0) + 1);
    return pass(exchange);
  });
  return {
    env: { AWS_ENDPOINT_URL: proxy.url },
    registry: gateway.registry,
    asked,
    next: async () => requests.reached(requests.hits.length + 1),
    close: async () => {
      await proxy.close();
      await gateway.close();
    },
  };
}

/** Whether a request asks ECR for an authorization token. */
export const isTokenRequest = ({ headers }: ReceivedRequest): boolean =>
  String(headers["x-amz-target"]).endsWith(".GetAuthorizationToken");

/** The region of a request to AWS, from its signature: `Credential=KEY/DATE/REGION/ecr/aws4_request`. */
export const regionOf = ({ headers }: ReceivedRequest): string =>
  /Credential=[^/]+\/\d+\/([^/]+)\//.exec(String(headers["authorization"]))?.[1] ?? "";
