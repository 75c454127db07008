// Authorization tokens of Amazon ECR: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_AuthorizationData.html
import { isUtf8 } from "node:buffer";

/** The login to the registries of one region. */
export interface AuthorizationToken {
  readonly username: string;
  readonly password: string;
  /** When it was requested, in milliseconds since 1970. */
  readonly issuedAt: number;
  /** When it expires, in milliseconds since 1970; NaN when ECR did not say. */
  readonly expiresAt: number;
}

/** Whether a token was issued to this identity. One of another identity is restored with the time 0, so that it is due. */
export const wasIssued = (token: AuthorizationToken | undefined): boolean => (token?.issuedAt ?? 0) > 0;

/** Tokens by the names of their requests. */
export type Tokens = ReadonlyMap<string, AuthorizationToken>;

/** The tokens of both, where a name is in both the one that was issued later; of two of another identity the one that ends later. */
export function newerTokens(one: Tokens, other: Tokens): Tokens {
  const isNewer = ({ issuedAt, expiresAt }: AuthorizationToken, known: AuthorizationToken | undefined): boolean =>
    known === undefined || issuedAt > known.issuedAt || (issuedAt === known.issuedAt && expiresAt > known.expiresAt);
  return new Map([...one, ...[...other].filter(([name, token]) => isNewer(token, one.get(name)))]);
}

/**
 * Requests the token of that name anew. It is valid for every registry of its region that the principal may read. Rejects
 * when AWS refuses or does not answer, or the signal aborts.
 */
export type TokenSource = (name: string, signal: AbortSignal) => Promise<AuthorizationToken>;

/** Decodes a token from ECR's answer. Throws where it is missing or malformed, without showing it. */
export function parseToken(
  encoded: string | undefined,
  expiresAt: Date | undefined,
): Omit<AuthorizationToken, "issuedAt"> {
  if (encoded === undefined || encoded === "") throw new Error("ECR answered without an authorization token");
  const login = parseLogin(encoded);
  if (login === undefined) throw new Error("ECR's authorization token is not the base64 of USER:PASSWORD");
  return { ...login, expiresAt: expiresAt?.getTime() ?? Number.NaN };
}

/** Decodes the base64 of `USERNAME:PASSWORD`, which the first colon separates; undefined for anything else. */
export function parseLogin(encoded: string): Pick<AuthorizationToken, "username" | "password"> | undefined {
  const bytes = Buffer.from(encoded, "base64");
  const decoded = bytes.toString("utf8");
  const colon = decoded.indexOf(":");
  const [username, password] = [decoded.slice(0, colon), decoded.slice(colon + 1)];
  // Node decodes what is not base64, too, to bytes that may have a colon by chance.
  const isText = /^[A-Za-z0-9+/]+={0,2}$/.test(encoded) && isUtf8(bytes);
  return isText && colon >= 1 && password !== "" ? { username, password } : undefined;
}

/** When the first of these tokens expires; undefined when that is unknown of all. */
export function earliestExpiry(tokens: Iterable<AuthorizationToken>): Date | undefined {
  const ends = [...tokens].map(({ expiresAt }) => expiresAt).filter((end) => !Number.isNaN(end));
  return ends.length === 0 ? undefined : new Date(Math.min(...ends));
}
