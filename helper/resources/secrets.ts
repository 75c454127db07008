// The desired secrets of a namespace: pure functions of the tokens and the configuration.
import { createHash } from "node:crypto";
import type { HelperConfig } from "../config/helper-config.ts";
import { pushTokenName } from "../config/token-requests.ts";
import { dockerConfigKey, dockerConfigType, encodeAuth, encodeDockerConfig } from "../shared/docker-config.ts";
import { annotations, ownMetadata } from "../shared/ownership.ts";
import { earliestExpiry, type Tokens, type AuthorizationToken } from "../ecr/token.ts";
import { ownerUids, type OwnerReference } from "./owners.ts";
import { encodeTokenAnnotation } from "./token-annotation.ts";
import { managedFieldsOf } from "./managed-fields.ts";
import { encodeSecret } from "./secret-protobuf.ts";
import type { DesiredSecret, Patched, Secret } from "./types.ts";

/** The most data that Kubernetes accepts in a secret, in bytes: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size */
export const maxSecretBytes = 1 << 20;

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/**
 * The hosts of a region's registries, each once and as it was named: a login for one is not written for the registry's other
 * hosts. A configured host for the stack's own registry comes before that registry's ECR host.
 */
function hostsOf({ registries, registryHost }: HelperConfig, region: string): string[] {
  const alias = registries[0]?.region === region && registryHost !== undefined ? [registryHost] : [];
  return [...new Set([...alias, ...registries.filter((one) => one.region === region).map(({ host }) => host)])];
}

/** A time in milliseconds since 1970 as ISO 8601; "unknown" when there is none. */
const formatTime = (milliseconds: number | undefined): string =>
  milliseconds === undefined || Number.isNaN(milliseconds) ? "unknown" : new Date(milliseconds).toISOString();

/** The annotations with the times of these tokens: when the first expires, and when the newest was requested. */
const timeAnnotations = (tokens: readonly AuthorizationToken[]): Record<string, string> => ({
  "ecr-helper/expires-at": formatTime(earliestExpiry(tokens)?.getTime()),
  [annotations.refreshedAt]: formatTime(Math.max(...tokens.map(({ issuedAt }) => issuedAt))),
});

/** The secret with which builds log in to the registries of one region: type basic-auth, annotated for Knative and Tekton. */
function basicAuthSecret(config: HelperConfig, name: string, region: string, token: AuthorizationToken): Secret {
  const metadata = ownMetadata(config, name);
  metadata.annotations = timeAnnotations([token]);
  if (config.pushRole !== undefined) {
    const tokens = new Map([[pushTokenName(region), token]]);
    metadata.annotations[annotations.tokens] = encodeTokenAnnotation(config.pushFingerprint, tokens);
  }
  for (const [index, host] of hostsOf(config, region).entries()) {
    metadata.annotations[`build.knative.dev/docker-${String(index)}`] = `https://${host}`;
    metadata.annotations[`tekton.dev/docker-${String(index)}`] = `https://${host}`;
  }
  const data = { username: base64(token.username), password: base64(token.password) };
  return { metadata, apiVersion: "v1", kind: "Secret", type: "kubernetes.io/basic-auth", data };
}

/**
 * The secret with which images are pulled: it has every registry that has a token, with and without https://. Each entry has only
 * `auth`, as `docker login` writes it: with user and password as well the secret would be nearly twice as large.
 */
function pullSecret(config: HelperConfig, tokens: Tokens): Secret {
  const auths: Record<string, string> = {};
  for (const [region, { username, password }] of tokens) {
    const auth = encodeAuth(username, password);
    for (const host of hostsOf(config, region).flatMap((one) => [one, `https://${one}`])) auths[host] = auth;
  }
  const metadata = ownMetadata(config, config.pullSecret);
  metadata.annotations = {
    ...timeAnnotations([...tokens.values()]),
    [annotations.tokens]: encodeTokenAnnotation(config.fingerprint, tokens),
  };
  const data = { [dockerConfigKey]: base64(encodeDockerConfig(auths)) };
  return { metadata, apiVersion: "v1", kind: "Secret", type: dockerConfigType, data };
}

const buildTokenName = ({ pushRole }: HelperConfig, region: string): string =>
  pushRole === undefined ? region : pushTokenName(region);

/** The secrets of a build namespace without their owners, except those that have no token. The order of the tokens makes no difference. */
export function secretsOf(config: HelperConfig, tokens: Tokens): Secret[] {
  const pullTokens = new Map<string, AuthorizationToken>();
  const secrets: Secret[] = [];
  for (const [region, name] of config.basicAuthSecrets) {
    const [pull, build] = [tokens.get(region), tokens.get(buildTokenName(config, region))];
    if (pull !== undefined) pullTokens.set(region, pull);
    if (build !== undefined) secrets.push(basicAuthSecret(config, name, region, build));
  }
  if (pullTokens.size > 0) secrets.push(pullSecret(config, pullTokens));
  for (const secret of secrets) {
    const revision = createHash("sha256").update(JSON.stringify(secret)).digest("hex").slice(0, 16);
    secret.metadata.annotations = { ...secret.metadata.annotations, [annotations.revision]: revision };
  }
  return secrets;
}

/** The same secrets with these owners, as they are written. */
export const desiredSecrets = (
  config: HelperConfig,
  tokens: Tokens,
  owners: readonly OwnerReference[],
): DesiredSecret[] =>
  secretsOf(config, tokens).map((secret) => {
    const owned = { ...secret, metadata: { ...secret.metadata, ownerReferences: owners } };
    const json = JSON.stringify(owned);
    return {
      name: secret.metadata.name,
      revision: secret.metadata.annotations?.[annotations.revision] ?? "",
      owners: ownerUids(config, owners),
      size: Object.values(secret.data).reduce((sum, value) => sum + Buffer.byteLength(value, "base64"), 0),
      toApply: (seen) => (seen === undefined ? json : JSON.stringify(limitedTo(owned, seen))),
      toReplace: encodeSecret(secret, owners, [managedFieldsOf(secret, owners)]),
      toPatch: (seen) => JSON.stringify(patchOf(secret, owners, seen)),
    };
  });

/** With the uid and the version of the only object that the API server may write it to. */
const limitedTo = ({ metadata, ...rest }: Secret, { uid, version }: Pick<Patched, "uid" | "version">): object => ({
  ...rest,
  metadata: { ...metadata, uid, resourceVersion: String(version) },
});

/** Owner references are a map by uid in a strategic merge patch, so that those to other owners stay. */
function patchOf({ metadata, data }: Secret, owners: readonly OwnerReference[], seen: Patched): object {
  const { version, removal } = seen;
  const removed = (removal === "" ? {} : JSON.parse(removal)) as Partial<Secret>;
  const lost = seen.owners.split(",").filter((uid) => uid !== "" && !owners.some((owner) => owner.uid === uid));
  return {
    metadata: {
      resourceVersion: String(version),
      labels: { ...removed.metadata?.labels, ...metadata.labels },
      annotations: { ...removed.metadata?.annotations, ...metadata.annotations },
      ownerReferences: [...owners, ...lost.map((uid) => ({ $patch: "delete", uid }))],
    },
    data: { ...removed.data, ...data },
  };
}

/** All secrets with empty tokens, for their fields: these do not depend on the tokens. */
export const exampleSecrets = (config: HelperConfig): Secret[] =>
  secretsOf(
    config,
    new Map(
      [...config.tokenRequests.keys()].map((name) => [name, { username: "", password: "", issuedAt: 0, expiresAt: 0 }]),
    ),
  );
