// The desired secrets of a namespace: pure functions of the tokens and the configuration.
import { createHash } from "node:crypto";
import type { HelperConfig } from "../config/helper-config.ts";
import { buildTokenName } from "../config/token-requests.ts";
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
 * The hosts that a token for pulls is for, each once and as it was named: a login for one is not written for the registry's other
 * hosts. A configured host for the stack's own registry comes before that registry's ECR host.
 */
function hostsOf({ registries, registryHost, tokenRequests }: HelperConfig, token: string): string[] {
  const alias = registries[0]?.region === token && registryHost !== undefined ? [registryHost] : [];
  return [...new Set([...alias, ...(tokenRequests.get(token)?.hosts ?? [])])];
}

/** A time in milliseconds since 1970 as ISO 8601; "unknown" when there is none. */
const formatTime = (milliseconds: number | undefined): string =>
  milliseconds === undefined || Number.isNaN(milliseconds) ? "unknown" : new Date(milliseconds).toISOString();

/** The annotations with the times of these tokens: when the first expires, and when the newest was requested. */
const timeAnnotations = (tokens: readonly AuthorizationToken[]): Record<string, string> => ({
  "ecr-helper/expires-at": formatTime(earliestExpiry(tokens)?.getTime()),
  [annotations.refreshedAt]: formatTime(Math.max(...tokens.map(({ issuedAt }) => issuedAt))),
});

/**
 * The secret with which builds log in to the registries that are pulled from with the token of this name: type basic-auth, annotated
 * for Knative and Tekton.
 */
function basicAuthSecret(config: HelperConfig, name: string, pullName: string, token: AuthorizationToken): Secret {
  const metadata = ownMetadata(config, name);
  metadata.annotations = timeAnnotations([token]);
  const buildName = buildTokenName(config.tokenRequests, pullName);
  if (buildName !== pullName) {
    const tokens = new Map([[buildName, token]]);
    metadata.annotations[annotations.tokens] = encodeTokenAnnotation(config, config.pushFingerprint, tokens);
  }
  for (const [index, host] of hostsOf(config, pullName).entries()) {
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
  for (const [name, { username, password }] of tokens) {
    const auth = encodeAuth(username, password);
    for (const host of hostsOf(config, name).flatMap((one) => [one, `https://${one}`])) auths[host] = auth;
  }
  const metadata = ownMetadata(config, config.pullSecret);
  metadata.annotations = {
    ...timeAnnotations([...tokens.values()]),
    [annotations.tokens]: encodeTokenAnnotation(config, config.fingerprint, tokens),
  };
  const data = { [dockerConfigKey]: base64(encodeDockerConfig(auths)) };
  return { metadata, apiVersion: "v1", kind: "Secret", type: dockerConfigType, data };
}

/** The secrets of a build namespace without their owners, except those that have no token. The order of the tokens makes no difference. */
export function secretsOf(config: HelperConfig, tokens: Tokens): Secret[] {
  const pullTokens = new Map<string, AuthorizationToken>();
  const secrets: Secret[] = [];
  for (const [pullName, name] of config.basicAuthSecrets) {
    const [pull, build] = [tokens.get(pullName), tokens.get(buildTokenName(config.tokenRequests, pullName))];
    if (pull !== undefined) pullTokens.set(pullName, pull);
    if (build !== undefined) secrets.push(basicAuthSecret(config, name, pullName, build));
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
