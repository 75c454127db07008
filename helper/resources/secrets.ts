// What should exist: pure functions from tokens and configuration to the objects of a namespace.
import { createHash } from "node:crypto";
import { pushTokenName, type HelperConfig } from "../config/helper-config.ts";
import { dockerConfigKey, dockerConfigType, encodeAuth, encodeDockerConfig } from "../shared/docker-config.ts";
import { annotations, ownMetadata } from "../shared/ownership.ts";
import { firstEnd, type Tokens, type AuthorizationToken } from "../ecr/token.ts";
import { encodeTokenAnnotation } from "./token-annotation.ts";
import type { DesiredSecret, Secret } from "./types.ts";

/** What Kubernetes takes in a secret, in bytes: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size */
export const maxSecretBytes = 1 << 20;

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
  [annotations.refreshedAt]: moment(Math.max(...tokens.map(({ issuedAt }) => issuedAt))),
});

/** The secret builds log in with to the registries of one region: type basic-auth, annotated for Knative and Tekton. */
function basicAuthSecret(config: HelperConfig, name: string, region: string, token: AuthorizationToken): Secret {
  const metadata = ownMetadata(config, name);
  metadata.annotations = times([token]);
  if (config.pushRole !== undefined) {
    const left = new Map([[pushTokenName(region), token]]);
    metadata.annotations[annotations.tokens] = encodeTokenAnnotation(config.pushFingerprint, left);
  }
  for (const [index, host] of hostsOf(config, region).entries()) {
    metadata.annotations[`build.knative.dev/docker-${String(index)}`] = `https://${host}`;
    metadata.annotations[`tekton.dev/docker-${String(index)}`] = `https://${host}`;
  }
  const data = { username: base64(token.username), password: base64(token.password) };
  return { metadata, apiVersion: "v1", kind: "Secret", type: "kubernetes.io/basic-auth", data };
}

/**
 * The secret images are pulled with: every registry that there is a token for, with and without https://. Each has its `auth`
 * alone, as `docker login` writes it: with user and password beside it the secret would be nearly twice as large.
 */
function pullSecret(config: HelperConfig, tokens: Tokens): Secret {
  const auths: Record<string, string> = {};
  for (const [region, { username, password }] of tokens) {
    const auth = encodeAuth(username, password);
    for (const host of hostsOf(config, region).flatMap((one) => [one, `https://${one}`])) auths[host] = auth;
  }
  const metadata = ownMetadata(config, config.pullSecret);
  metadata.annotations = {
    ...times([...tokens.values()]),
    [annotations.tokens]: encodeTokenAnnotation(config.fingerprint, tokens),
  };
  const data = { [dockerConfigKey]: base64(encodeDockerConfig(auths)) };
  return { metadata, apiVersion: "v1", kind: "Secret", type: dockerConfigType, data };
}

const buildTokenName = ({ pushRole }: HelperConfig, region: string): string =>
  pushRole === undefined ? region : pushTokenName(region);

/** All secrets of a build namespace that there is a token for. The order of the tokens makes no difference. */
export function secretsOf(config: HelperConfig, tokens: Tokens): Secret[] {
  const known = new Map<string, AuthorizationToken>();
  const secrets: Secret[] = [];
  for (const [region, name] of config.basicAuthSecrets) {
    const [pull, build] = [tokens.get(region), tokens.get(buildTokenName(config, region))];
    if (pull !== undefined) known.set(region, pull);
    if (build !== undefined) secrets.push(basicAuthSecret(config, name, region, build));
  }
  if (known.size > 0) secrets.push(pullSecret(config, known));
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
      refreshedAt: secret.metadata.annotations?.[annotations.refreshedAt] ?? "",
      size: Object.values(secret.data).reduce((sum, value) => sum + Buffer.byteLength(value, "base64"), 0),
      body: Buffer.from(json),
      bodyFor: (uid) => `${start}"uid":${JSON.stringify(uid)},${json.slice(start.length)}`,
    };
  });

/** The secrets as they would be with all tokens: their fields are the same whatever the tokens are. */
export const exampleSecrets = (config: HelperConfig): Secret[] =>
  secretsOf(
    config,
    new Map(
      [...config.tokenRequests.keys()].map((name) => [name, { username: "", password: "", issuedAt: 0, expiresAt: 0 }]),
    ),
  );
