// The desired secrets of a namespace: pure functions of the tokens and the configuration.
import { createHash } from "node:crypto";
import type { HelperConfig } from "../config/helper-config.ts";
import { buildTokenName } from "../config/token-requests.ts";
import { dockerConfigKey, dockerConfigType } from "../shared/docker-config.ts";
import { groupTokensSecret } from "../shared/groups.ts";
import { annotations, ownMetadata } from "../shared/ownership.ts";
import { basicAuthType } from "../shared/secret-definition.ts";
import type { Tokens, AuthorizationToken } from "../ecr/token.ts";
import { furtherSecret } from "./further-secrets.ts";
import { ownerUids, type OwnerReference } from "./owners.ts";
import { encodeTokenAnnotation } from "./token-annotation.ts";
import { managedFieldsOf } from "./managed-fields.ts";
import { base64, dockerConfigOf, hostsOf, timeAnnotations, tokensOf } from "./secret-parts.ts";
import { encodeSecret } from "./secret-protobuf.ts";
import type { DesiredSecret, Patched, Secret } from "./types.ts";

/** The most data that Kubernetes accepts in a secret, in bytes: https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size */
export const maxSecretBytes = 1 << 20;

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
  return { metadata, apiVersion: "v1", kind: "Secret", type: basicAuthType, data };
}

/** The secret with which images are pulled. */
function pullSecret(config: HelperConfig, tokens: Tokens): Secret {
  const metadata = ownMetadata(config, config.pullSecret);
  metadata.annotations = {
    ...timeAnnotations([...tokens.values()]),
    [annotations.tokens]: encodeTokenAnnotation(config, config.fingerprint, tokens),
  };
  const data = { [dockerConfigKey]: base64(dockerConfigOf(config, tokens)) };
  return { metadata, apiVersion: "v1", kind: "Secret", type: dockerConfigType, data };
}

/** The secrets with the tokens of groups, which the helper's own namespace has beside others. */
function tokensSecrets({ groups, pullSecret: name }: HelperConfig, tokens: Tokens): Secret[] {
  return groups.flatMap(({ config, ...group }) => {
    const pulls = tokensOf(config, "pull", tokens);
    return pulls.size === 0 ? [] : [pullSecret({ ...config, pullSecret: groupTokensSecret(name, group) }, pulls)];
  });
}

/**
 * The secrets of build namespaces that this configuration is for, and those with the tokens of its groups, without their owners. Those
 * that have no token are missing. The order of the tokens makes no difference.
 */
export function secretsOf(config: HelperConfig, tokens: Tokens): Secret[] {
  const [pulls, builds] = [tokensOf(config, "pull", tokens), tokensOf(config, "push", tokens)];
  const secrets: Secret[] = [];
  for (const [pullName, name] of config.basicAuthSecrets) {
    const token = builds.get(pullName);
    if (token !== undefined) secrets.push(basicAuthSecret(config, name, pullName, token));
  }
  if (pulls.size > 0) secrets.push(pullSecret(config, pulls));
  for (const definition of config.furtherSecrets) {
    const secret = furtherSecret(config, definition, tokens);
    if (secret !== undefined) secrets.push(secret);
  }
  secrets.push(...tokensSecrets(config, tokens));
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
function patchOf({ metadata, data, type }: Secret, owners: readonly OwnerReference[], seen: Patched): object {
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
    // It never changes: another one is refused.
    type,
  };
}

/** All secrets with empty tokens, for their fields: these do not depend on the tokens. */
export const exampleSecrets = (config: HelperConfig): Secret[] =>
  secretsOf(
    config,
    new Map(
      [...config.allTokenRequests.keys()].map((name) => [
        name,
        { username: "", password: "", issuedAt: 0, expiresAt: 0 },
      ]),
    ),
  );
