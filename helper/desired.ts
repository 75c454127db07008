// What should exist: pure functions from tokens and configuration to the objects of a namespace.
import { createHash } from "node:crypto";
import type { HelperConfig } from "./config.ts";
import { firstEnd, type AuthorizationToken } from "./token.ts";

export const fieldManager = "ecr-helper";

/** The annotations that the helper reads again. */
export const annotations = {
  /** A hash of all that the helper wrote: what has another one is out of date. */
  revision: "ecr-helper/revision",
  /** The tokens' times by region, in the pull secret: a helper that starts anew goes on from there. */
  tokens: "ecr-helper/tokens",
} as const;

/** The live tokens by region. */
export type Tokens = ReadonlyMap<string, AuthorizationToken>;

export interface Metadata {
  name: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: object[];
}

export interface Secret {
  metadata: Metadata;
  apiVersion: "v1";
  kind: "Secret";
  type: string;
  /** Values in base64. */
  data: Record<string, string>;
}

/** A secret as it should be in every build namespace, encoded once for all of them. */
export interface DesiredSecret {
  readonly name: string;
  readonly revision: string;
  /** The JSON to apply; with a uid it applies to that very object and to none that took its place since. */
  readonly body: (uid?: string) => string;
}

/** The labels by which the helper of one stack knows what it made. */
export const ownLabels = (config: HelperConfig): Record<string, string> => ({
  "app.kubernetes.io/managed-by": "ecr-helper",
  "app.kubernetes.io/instance": config.owner.name,
});

export const ownMetadata = (config: HelperConfig, name: string): Metadata => ({
  name,
  labels: ownLabels(config),
  ownerReferences: [{ apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", ...config.owner }],
});

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** The hosts that a region's registries are reached under: each its own, and for the stack's own the configured one first. */
function hostsOf({ registries, registryHost }: HelperConfig, region: string): string[] {
  const alias = registries[0]?.region === region && registryHost !== undefined ? [registryHost] : [];
  return [...alias, ...registries.filter((one) => one.region === region).map(({ host }) => host)];
}

const moment = (milliseconds: number | undefined): string =>
  milliseconds === undefined || Number.isNaN(milliseconds) ? "unknown" : new Date(milliseconds).toISOString();

/** When the first of these tokens ends, and when the last of them came. */
const times = (tokens: readonly AuthorizationToken[]): Record<string, string> => ({
  "ecr-helper/expires-at": moment(firstEnd(tokens)?.getTime()),
  "ecr-helper/refreshed-at": moment(Math.max(...tokens.map(({ issuedAt }) => issuedAt))),
});

/** The secret builds log in with to the registries of one region: type basic-auth, annotated for Knative and Tekton. */
function basicAuthSecret(config: HelperConfig, name: string, region: string, token: AuthorizationToken): Secret {
  const metadata = ownMetadata(config, name);
  metadata.annotations = times([token]);
  for (const [index, host] of hostsOf(config, region).entries()) {
    metadata.annotations[`build.knative.dev/docker-${String(index)}`] = `https://${host}`;
    metadata.annotations[`tekton.dev/docker-${String(index)}`] = `https://${host}`;
  }
  const data = { username: base64(token.username), password: base64(token.password) };
  return { metadata, apiVersion: "v1", kind: "Secret", type: "kubernetes.io/basic-auth", data };
}

/** The secret images are pulled with: every registry that there is a token for, with and without https://. */
function pullSecret(config: HelperConfig, tokens: Tokens): Secret {
  const auths: Record<string, object> = {};
  for (const [region, { username, password }] of tokens) {
    const auth = { username, password, auth: base64(`${username}:${password}`) };
    for (const host of hostsOf(config, region).flatMap((one) => [one, `https://${one}`])) auths[host] = auth;
  }
  const metadata = ownMetadata(config, config.pullSecret);
  metadata.annotations = { ...times([...tokens.values()]), [annotations.tokens]: tokenTimes(config, tokens) };
  const data = { ".dockerconfigjson": base64(JSON.stringify({ auths })) };
  return { metadata, apiVersion: "v1", kind: "Secret", type: "kubernetes.io/dockerconfigjson", data };
}

/** All secrets of a build namespace that there is a token for. The order of the tokens makes no difference. */
export function secretsOf(config: HelperConfig, tokens: Tokens): Secret[] {
  const known = new Map<string, AuthorizationToken>();
  for (const region of config.basicAuthSecrets.keys()) {
    const token = tokens.get(region);
    if (token !== undefined) known.set(region, token);
  }
  if (known.size === 0) return [];
  const logins = [...known].map(([region, token]) =>
    basicAuthSecret(config, config.basicAuthSecrets.get(region) ?? "", region, token),
  );
  const secrets = [...logins, pullSecret(config, known)];
  for (const secret of secrets) {
    const revision = createHash("sha256").update(JSON.stringify(secret)).digest("hex").slice(0, 16);
    secret.metadata.annotations = { ...secret.metadata.annotations, [annotations.revision]: revision };
  }
  return secrets;
}

/** The same secrets, ready to be applied. */
export const desiredSecrets = (config: HelperConfig, tokens: Tokens): DesiredSecret[] =>
  secretsOf(config, tokens).map((secret) => {
    const json = JSON.stringify(secret);
    const start = '{"metadata":{';
    return {
      name: secret.metadata.name,
      revision: secret.metadata.annotations?.[annotations.revision] ?? "",
      body: (uid) => (uid === undefined ? json : `${start}"uid":${JSON.stringify(uid)},${json.slice(start.length)}`),
    };
  });

/** The secrets as they would be with tokens of every region: their fields are the same whatever the tokens are. */
export const exampleSecrets = (config: HelperConfig): Secret[] =>
  secretsOf(
    config,
    new Map(
      [...config.basicAuthSecrets.keys()].map((region) => [
        region,
        { username: "", password: "", issuedAt: 0, expiresAt: 0 },
      ]),
    ),
  );

/** Times of one region's token, in milliseconds since 1970; `expiresAt` is null when ECR did not say. */
interface TokenTimes {
  issuedAt: number;
  expiresAt: number | null;
}

const tokenTimes = (config: HelperConfig, tokens: Tokens): string =>
  JSON.stringify({
    identity: config.identity,
    regions: Object.fromEntries(
      [...tokens].map(([region, { issuedAt, expiresAt }]) => [region, { issuedAt, expiresAt }]),
    ),
  });

/**
 * The tokens in a pull secret that a helper of this stack made. Those that another identity asked for are given as long
 * since due: they may end with it. None where the secret holds anything else.
 */
export function tokensOf(
  config: HelperConfig,
  secret: Pick<Secret, "metadata" | "data">,
): Map<string, AuthorizationToken> {
  const tokens = new Map<string, AuthorizationToken>();
  if (!isOwn(config, secret.metadata.labels)) return tokens;
  const times = timesIn(config, secret);
  const { auths = {} } = parse<{ auths: Record<string, { username: string; password: string }> }>(
    Buffer.from(secret.data[".dockerconfigjson"] ?? "", "base64").toString(),
  );
  for (const { host, region } of config.registries) {
    const [found, auth] = [times.get(region), auths[host]];
    if (found !== undefined && auth !== undefined) {
      tokens.set(region, { username: auth.username, password: auth.password, ...found });
    }
  }
  return tokens;
}

function timesIn(
  config: HelperConfig,
  { metadata }: Pick<Secret, "metadata">,
): Map<string, Pick<AuthorizationToken, "issuedAt" | "expiresAt">> {
  const { identity, regions = {} } = parse<{ identity: string; regions: Record<string, TokenTimes> }>(
    metadata.annotations?.[annotations.tokens],
  );
  const isSame = identity === config.identity;
  return new Map(
    Object.entries(regions).map(([region, { issuedAt, expiresAt }]) => [
      region,
      { issuedAt: isSame ? issuedAt : 0, expiresAt: expiresAt ?? Number.NaN },
    ]),
  );
}

function parse<T>(text = ""): Partial<T> {
  try {
    return JSON.parse(text) as Partial<T>;
  } catch {
    return {}; // Not what the helper writes: there is nothing in it to go on from.
  }
}

export const isOwn = (config: HelperConfig, labels: Readonly<Record<string, string>> = {}): boolean =>
  Object.entries(ownLabels(config)).every(([key, value]) => labels[key] === value);
