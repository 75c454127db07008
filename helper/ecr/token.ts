// Authorization tokens of Amazon ECR: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_AuthorizationData.html
import { isUtf8 } from "node:buffer";
import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { AssumeRoleCommand, STSClient } from "@aws-sdk/client-sts";
import type { TokenRequest } from "../config/helper-config.ts";
import { parseRetryAfter } from "../runtime/retry-after.ts";

export interface AuthorizationToken {
  readonly username: string;
  readonly password: string;
  /** When it was asked for, in milliseconds since 1970. */
  readonly issuedAt: number;
  /** When it ends, in milliseconds since 1970; NaN when ECR did not say. */
  readonly expiresAt: number;
}

/** Asks for a new token; it opens every registry of its region that the principal may read. Rejects when refused. */
export type TokenSource = (name: string, signal: AbortSignal) => Promise<AuthorizationToken>;

/**
 * A source that asks Amazon ECR, by the SDK's default credentials or by those of a role that these may assume, with one client
 * (and its connections) for each name. STS is asked in the home region.
 */
export function ecrTokenSource(requests: ReadonlyMap<string, TokenRequest>, homeRegion: string): TokenSource {
  const clients = new Map<string, ECRClient>();
  return async (name, signal) => {
    const client = clients.get(name) ?? createClient(requests.get(name), homeRegion);
    clients.set(name, client);
    const issuedAt = Date.now();
    // It keeps the credentials that were refused until they end, and waits for those that do not come: the next one looks
    // for others.
    const forget = (): void => {
      if (clients.get(name) === client) clients.delete(name);
      client.destroy();
    };
    signal.addEventListener("abort", forget);
    const asked = client.send(new GetAuthorizationTokenCommand({}), { abortSignal: signal });
    const answering = asked.finally(() => signal.removeEventListener("abort", forget));
    const answer = await answering.catch((error: unknown) => {
      const { $metadata, $response } = error as Partial<Failure>;
      // A client that was refused because the clock here is wrong has learnt the right time, and signs by it from now on.
      if ($metadata?.clockSkewCorrected !== true) forget();
      const retryAfter = parseRetryAfter($response?.headers["retry-after"], Date.now());
      throw Object.assign(explained(error, $metadata?.httpStatusCode), { retryAfter });
    });
    const [data] = answer.authorizationData ?? [];
    return { ...parseToken(data?.authorizationToken, data?.expiresAt), issuedAt };
  };
}

/** What the SDK's errors have where an answer came, whatever it was. */
interface Failure {
  readonly $metadata: { readonly clockSkewCorrected?: boolean; readonly httpStatusCode?: number };
  readonly $response: { readonly headers: Readonly<Record<string, string>> };
}

/** Proxies and load balancers answer, too. What the SDK says of such an answer explains nothing and quotes it. */
function explained(error: unknown, status: number | undefined): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  const isForeign = error instanceof SyntaxError || error instanceof TypeError || error.name === "Unknown";
  if (!isForeign || status === undefined) return error;
  return new Error(`AWS answered ${String(status)} with something that is not AWS' own`);
}

// One attempt: the reconcile loop repeats what failed, with a backoff it can be seen to keep.
const oneAttempt = {
  maxAttempts: 1,
  requestHandler: { connectionTimeout: 5_000, requestTimeout: 15_000, throwOnRequestTimeout: true },
};

function createClient(request: TokenRequest | undefined, homeRegion: string): ECRClient {
  if (request === undefined) throw new Error("there is no such token");
  const { region, role } = request;
  const credentials = role === undefined ? {} : { credentials: async () => assume(role, homeRegion) };
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
async function assume(RoleArn: string, region: string): Promise<SessionCredentials> {
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

/** A token as ECR gives it. Never shows it in an error. */
export function parseToken(
  encoded: string | undefined,
  expiresAt: Date | undefined,
): Omit<AuthorizationToken, "issuedAt"> {
  if (encoded === undefined || encoded === "") throw new Error("ECR answered without an authorization token");
  const login = parseLogin(encoded);
  if (login === undefined) throw new Error("ECR's authorization token is not the base64 of USER:PASSWORD");
  return { ...login, expiresAt: expiresAt?.getTime() ?? Number.NaN };
}

/** Takes the base64 of `USER:PASSWORD` apart, where only the first colon separates. Undefined for anything else. */
export function parseLogin(encoded: string): Pick<AuthorizationToken, "username" | "password"> | undefined {
  const bytes = Buffer.from(encoded, "base64");
  const decoded = bytes.toString("utf8");
  const colon = decoded.indexOf(":");
  const [username, password] = [decoded.slice(0, colon), decoded.slice(colon + 1)];
  // What is no base64 is decoded too, to bytes of which one may be a colon by chance.
  const isText = /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) && isUtf8(bytes);
  return isText && colon >= 1 && password !== "" ? { username, password } : undefined;
}

/** When the first of these tokens ends; undefined when none of them says. */
export function firstEnd(tokens: Iterable<AuthorizationToken>): Date | undefined {
  const ends = [...tokens].map(({ expiresAt }) => expiresAt).filter((end) => !Number.isNaN(end));
  return ends.length === 0 ? undefined : new Date(Math.min(...ends));
}
/** The live tokens by the names of their requests. */

export type Tokens = ReadonlyMap<string, AuthorizationToken>;
