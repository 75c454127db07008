// Requests authorization tokens from Amazon ECR, through STS where a role asks for them.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { AssumeRoleCommand, STSClient } from "@aws-sdk/client-sts";
import type { TokenRequest } from "../config/helper-config.ts";
import { parseRetryAfter } from "../runtime/retry-after.ts";
import { parseToken, type TokenSource } from "./token.ts";

/**
 * Tokens from Amazon ECR, with the SDK's default credentials or those of a role that these may assume. Each name has a client,
 * with connections, of its own. STS is called in `homeRegion`. An error has `retryAfter`, in milliseconds.
 */
export function ecrTokenSource(requests: ReadonlyMap<string, TokenRequest>, homeRegion: string): TokenSource {
  const clients = new Map<string, ECRClient>();
  return async (name, signal) => {
    const client = clients.get(name) ?? createClient(requests.get(name), homeRegion);
    clients.set(name, client);
    const issuedAt = Date.now();
    // A client keeps denied credentials until they expire, and waits for credentials that do not arrive. A new client looks
    // them up again.
    const discard = (): void => {
      if (clients.get(name) === client) clients.delete(name);
      client.destroy();
    };
    signal.addEventListener("abort", discard);
    const sent = client.send(new GetAuthorizationTokenCommand({}), { abortSignal: signal });
    const answered = sent.finally(() => signal.removeEventListener("abort", discard));
    const { authorizationData } = await answered.catch((error: unknown) => {
      const { $metadata, $response } = error as Partial<ServiceError>;
      // A client that was denied because of a wrong clock here knows the right time now, and signs with it.
      if ($metadata?.clockSkewCorrected !== true) discard();
      const retryAfter = parseRetryAfter($response?.headers["retry-after"], Date.now());
      throw Object.assign(explain(error, $metadata?.httpStatusCode), { retryAfter });
    });
    const [data] = authorizationData ?? [];
    return { ...parseToken(data?.authorizationToken, data?.expiresAt), issuedAt };
  };
}

/** What the SDK's errors have where an answer came, from whomever. */
interface ServiceError {
  readonly $metadata: { readonly clockSkewCorrected?: boolean; readonly httpStatusCode?: number };
  readonly $response: { readonly headers: Readonly<Record<string, string>> };
}

/** The answer may come from a proxy or load balancer: then the SDK's error only quotes it, and is replaced. */
function explain(error: unknown, status: number | undefined): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  const isForeign = error instanceof SyntaxError || error instanceof TypeError || error.name === "Unknown";
  if (!isForeign || status === undefined) return error;
  return new Error(`AWS answered ${String(status)} with something that is not AWS' own`);
}

// The SDK does not retry: the token refresher does, with a backoff that the log shows.
const oneAttempt = {
  maxAttempts: 1,
  requestHandler: { connectionTimeout: 5_000, requestTimeout: 15_000, throwOnRequestTimeout: true },
};

function createClient(request: TokenRequest | undefined, homeRegion: string): ECRClient {
  if (request === undefined) throw new Error("there is no such token");
  const { region, role } = request;
  const credentials = role === undefined ? {} : { credentials: async () => assumeRole(role, homeRegion) };
  return new ECRClient({ region, ...credentials, ...oneAttempt });
}

/** As the SDK takes them. */
interface SessionCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiration?: Date;
}

/** Credentials of a role, for an hour: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html */
async function assumeRole(RoleArn: string, region: string): Promise<SessionCredentials> {
  const sts = new STSClient({ region, ...oneAttempt });
  try {
    const { Credentials } = await sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: "ecr-helper" }));
    const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = Credentials ?? {};
    if (AccessKeyId === undefined || SecretAccessKey === undefined || SessionToken === undefined) {
      throw new Error(`STS answered without credentials of ${RoleArn}`);
    }
    return {
      accessKeyId: AccessKeyId,
      secretAccessKey: SecretAccessKey,
      sessionToken: SessionToken,
      ...(Expiration === undefined ? {} : { expiration: Expiration }),
    };
  } finally {
    sts.destroy();
  }
}
