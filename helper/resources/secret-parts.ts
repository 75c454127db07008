// What secrets are made of: hosts, logins and times.
import type { HelperConfig } from "../config/helper-config.ts";
import { buildTokenName, registryLogin } from "../config/token-requests.ts";
import { earliestExpiry, type AuthorizationToken, type Tokens } from "../ecr/token.ts";
import { encodeAuth, encodeDockerConfig } from "../shared/docker-config.ts";
import { annotations } from "../shared/ownership.ts";
import { pullTokenName } from "../shared/registry-logins.ts";

/** Text as the API has it in a secret's data. */
export const base64 = (text: string): string => Buffer.from(text).toString("base64");

/**
 * The hosts that a token for pulls is for, each once and as it was named: a login for one is not written for the registry's other
 * hosts. A configured host for the stack's own registry comes before that registry's ECR host.
 */
export function hostsOf({ registries, registryHost, tokenRequests }: HelperConfig, pullName: string): string[] {
  const [own] = registries;
  const isOwn = own !== undefined && pullTokenName(registryLogin(own)) === pullName;
  const alias = isOwn && registryHost !== undefined ? [registryHost] : [];
  return [...new Set([...alias, ...(tokenRequests.get(pullName)?.hosts ?? [])])];
}

/** The tokens of a login, by the names of those for pulls, which builds have, too, where nothing is pushed. */
export function tokensOf(
  { basicAuthSecrets, tokenRequests }: HelperConfig,
  login: "pull" | "push",
  tokens: Tokens,
): Map<string, AuthorizationToken> {
  const found = new Map<string, AuthorizationToken>();
  for (const pullName of basicAuthSecrets.keys()) {
    const token = tokens.get(login === "push" ? buildTokenName(tokenRequests, pullName) : pullName);
    if (token !== undefined) found.set(pullName, token);
  }
  return found;
}

/**
 * The docker config with every registry that has a token, with and without https://. Each entry has only `auth`, as `docker login`
 * writes it: with user and password as well the secret would be nearly twice as large.
 */
export function dockerConfigOf(config: HelperConfig, tokens: Tokens): string {
  const auths: Record<string, string> = {};
  for (const [pullName, { username, password }] of tokens) {
    const auth = encodeAuth(username, password);
    for (const host of hostsOf(config, pullName).flatMap((one) => [one, `https://${one}`])) auths[host] = auth;
  }
  return encodeDockerConfig(auths);
}

/** A time in milliseconds since 1970 as ISO 8601; "unknown" when there is none. */
const formatTime = (milliseconds: number | undefined): string =>
  milliseconds === undefined || Number.isNaN(milliseconds) ? "unknown" : new Date(milliseconds).toISOString();

/** The annotations with the times of these tokens: when the first expires, and when the newest was requested. */
export const timeAnnotations = (tokens: readonly AuthorizationToken[]): Record<string, string> => ({
  "ecr-helper/expires-at": formatTime(earliestExpiry(tokens)?.getTime()),
  [annotations.refreshedAt]: formatTime(Math.max(...tokens.map(({ issuedAt }) => issuedAt))),
});
