// Requests authorization tokens from Amazon ECR, through STS where a role asks for them.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
import { readFileSync } from "node:fs";
import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import {
  ECRClient,
  GetAuthorizationTokenCommand,
  type AuthorizationData,
  type ECRClientConfig,
} from "@aws-sdk/client-ecr";
import {
  ECRPUBLICClient,
  GetAuthorizationTokenCommand as GetPublicAuthorizationTokenCommand,
  type ECRPUBLICClientConfig,
} from "@aws-sdk/client-ecr-public";
import { STSClient } from "@aws-sdk/client-sts";
import { defaultProvider, type DefaultProviderInit } from "@aws-sdk/credential-provider-node";
import type { AwsConnection } from "../config/aws-connection.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import type { TokenRequest } from "../config/token-requests.ts";
import { parseRetryAfter } from "../runtime/retry-after.ts";
import type { EndpointVariant } from "../shared/names.ts";
import { assumeRole } from "./assumed-role.ts";
import { parseToken, type TokenSource } from "./token.ts";

/** A client of ECR or of ECR Public. It gives what both call AuthorizationData. */
interface TokenClient {
  readonly request: (signal: AbortSignal) => Promise<AuthorizationData | undefined>;
  readonly destroy: () => void;
}

/** ECR answers with a list, of which the first element is valid for every registry. */
function privateClient(options: ECRClientConfig): TokenClient {
  const client = new ECRClient(options);
  return {
    request: async (abortSignal) =>
      (await client.send(new GetAuthorizationTokenCommand({}), { abortSignal })).authorizationData?.[0],
    destroy: () => client.destroy(),
  };
}

/** https://docs.aws.amazon.com/AmazonECRPublic/latest/APIReference/API_GetAuthorizationToken.html */
function publicClient(options: ECRPUBLICClientConfig): TokenClient {
  const client = new ECRPUBLICClient(options);
  return {
    request: async (abortSignal) =>
      (await client.send(new GetPublicAuthorizationTokenCommand({}), { abortSignal })).authorizationData,
    destroy: () => client.destroy(),
  };
}

/** The parts of the configuration that say what to ask for, and how. */
type TokenConfig = Pick<HelperConfig, "registries" | "allTokenRequests" | "awsConnection" | "owner">;

/**
 * Tokens from Amazon ECR, with the SDK's default credentials or those of a role that these may assume. Each name has a client,
 * with connections, of its own. STS is called in the stack's own region for a role, by the same kind of endpoint as ECR there. An
 * error has `retryAfter`, in milliseconds.
 */
export function ecrTokenSource({ registries, allTokenRequests, awsConnection, owner }: TokenConfig): TokenSource {
  const clients = new Map<string, TokenClient>();
  const options = clientOptions(awsConnection);
  const region = registries[0]?.region ?? "";
  const home = { ...(allTokenRequests.get(region) ?? standardEndpoint), region };
  const createSts = (): STSClient => new STSClient({ region, ...options("sts", home) });
  const create = (request: TokenRequest | undefined): TokenClient => {
    if (request === undefined) throw new Error("there is no such token");
    const { role, service } = request;
    // One for as long as this client: it knows the right time once it was denied because of a wrong clock.
    const sts = role && createSts();
    const credentials = role && sts && { credentials: async () => assumeRole(role, owner, sts) };
    const own = { region: request.region, ...credentials, ...options("ecr", request) };
    const client = service === "ecr" ? privateClient(own) : publicClient(own);
    const destroy = (): void => {
      client.destroy();
      sts?.destroy();
    };
    return { ...client, destroy };
  };
  return async (name, signal) => {
    const client = clients.get(name) ?? create(allTokenRequests.get(name));
    clients.set(name, client);
    const issuedAt = Date.now();
    // A client keeps denied credentials until they expire, and waits for credentials that do not arrive. A new client looks
    // them up again.
    const discard = (): void => {
      if (clients.get(name) === client) clients.delete(name);
      client.destroy();
    };
    signal.addEventListener("abort", discard);
    const answered = client.request(signal).finally(() => signal.removeEventListener("abort", discard));
    const data = await answered.catch((error: unknown) => {
      const { $metadata, $response } = error as Partial<ServiceError>;
      // A client that was denied because of a wrong clock here knows the right time now, and signs with it.
      if ($metadata?.clockSkewCorrected !== true) discard();
      const retryAfter = parseRetryAfter($response?.headers["retry-after"], Date.now());
      throw Object.assign(explain(error, $metadata?.httpStatusCode), { retryAfter });
    });
    return { ...parseToken(data?.authorizationToken, data?.expiresAt), issuedAt };
  };
}

/** What the SDK's errors have where an answer came, from whomever. */
interface ServiceError {
  readonly $metadata: { readonly clockSkewCorrected?: boolean; readonly httpStatusCode?: number };
  readonly $response: { readonly headers: Readonly<Record<string, string>> };
}

/** Node's codes for a certificate of an unknown CA: https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const unknownCa = /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF)_\w+)$/;

/** The answer may come from a proxy or load balancer: then the SDK's error only quotes it, and is replaced. */
function explain(error: unknown, status: number | undefined): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if ("code" in error && unknownCa.test(String(error.code))) {
    return new Error("the certificate of AWS or of a proxy is not trusted, add its CA to caBundle", { cause: error });
  }
  const isForeign = error instanceof SyntaxError || error instanceof TypeError || error.name === "Unknown";
  if (!isForeign || status === undefined) return error;
  return new Error(`AWS answered ${String(status)} with something that is not AWS' own`);
}

/** The options of a client of its own agents, which end with it. */
interface ClientOptions extends Partial<EndpointVariant> {
  readonly maxAttempts: number;
  readonly requestHandler: NonNullable<ECRClientConfig["requestHandler"]>;
  readonly credentialDefaultProvider: typeof defaultProvider;
}

/** Makes the options of a client of ECR or STS that asks this variant of its endpoints. */
type CreateOptions = (service: "ecr" | "sts", variant: EndpointVariant) => ClientOptions;

const standardEndpoint: EndpointVariant = { useFipsEndpoint: false, useDualstackEndpoint: false };

/**
 * The options of every client. The SDK does not retry: the token refresher does, with a backoff that the log shows. It hands
 * the handler to the call of STS for a web identity, and takes one of its own for credentials that come from the node.
 */
function clientOptions({ proxy, noProxy, caFile, hasOwnUrl }: AwsConnection): CreateOptions {
  // Node's own agents know proxies; the SDK takes none from the environment.
  const proxyEnv = { HTTP_PROXY: proxy, HTTPS_PROXY: proxy, NO_PROXY: noProxy.join(",") };
  // A proxy that accepts a connection and then says nothing would otherwise keep it open.
  const agent = proxy === undefined ? {} : { proxyEnv, timeout: requestTimeout };
  const trust = caFile === undefined ? () => ({}) : trustOf(caFile);
  const timeouts = { connectionTimeout: 5_000, requestTimeout, throwOnRequestTimeout: true };
  // The SDK refuses a variant together with a URL: the URL says already which endpoint is asked.
  const variantOf = (
    service: "ecr" | "sts",
    { useFipsEndpoint, useDualstackEndpoint }: EndpointVariant,
  ): Partial<EndpointVariant> => (hasOwnUrl[service] ? {} : { useFipsEndpoint, useDualstackEndpoint });
  return (service, variant) => ({
    ...variantOf(service, variant),
    // The SDK does not hand the variant to its call of STS for a web identity.
    credentialDefaultProvider: (init?: DefaultProviderInit) =>
      defaultProvider({ ...init, clientConfig: variantOf("sts", variant) }),
    maxAttempts: 1,
    requestHandler: { ...timeouts, httpAgent: agent, httpsAgent: { ...agent, ...trust() } },
  });
}

/** Trusts the file's CAs, too, as they are at each call. Connections share the context, which takes 1 MB, while it is the same. */
function trustOf(caFile: string): () => { secureContext: SecureContext } {
  let last: { readonly pem: string; readonly secureContext: SecureContext } | undefined;
  return () => {
    const pem = readFileSync(caFile, "utf8");
    if (last?.pem !== pem) last = { pem, secureContext: createSecureContext({ ca: [...rootCertificates, pem] }) };
    return { secureContext: last.secureContext };
  };
}

/** In milliseconds. */
const requestTimeout = 15_000;
