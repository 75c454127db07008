// A gateway whose tokens are valid for a time that the test chooses, and which counts the requests for them.
import { startGateway } from "../local/gateway/main.ts";
import { loopback, ports, url, type Endpoint } from "../local/settings.ts";
import { pass, type ReceivedRequest } from "./fault.ts";
import { Proxy } from "./proxy.ts";

/** A running gateway, and the requests for tokens that it has received. */
export interface CountedGateway {
  /** The environment variable that makes a helper use the gateway. */
  readonly env: { AWS_ENDPOINT_URL: string };
  readonly registry: Endpoint;
  /** The number of tokens requested so far, by region. */
  readonly tokenRequests: ReadonlyMap<string, number>;
  /** Resolves when the next request for a token arrives, before it is answered. */
  readonly nextTokenRequest: () => Promise<void>;
  close(): Promise<void>;
}

/** Starts a gateway whose tokens are valid for `tokenLife` milliseconds. */
export async function startCountedGateway(tokenLife: number): Promise<CountedGateway> {
  const any = { address: loopback, port: 0 };
  const gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  const proxy = await Proxy.start({ upstream: url(gateway.api) });
  const tokenRequests = new Map<string, number>();
  const requests = proxy.inject(isTokenRequest, async (exchange) => {
    const region = regionOf(exchange.request);
    tokenRequests.set(region, (tokenRequests.get(region) ?? 0) + 1);
    return pass(exchange);
  });
  return {
    env: { AWS_ENDPOINT_URL: proxy.url },
    registry: gateway.registry,
    tokenRequests,
    nextTokenRequest: async () => requests.reached(requests.hits.length + 1),
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
