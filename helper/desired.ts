// What should exist: pure functions from tokens and configuration to the objects of one namespace.
import type { HelperConfig, Registry } from "./config.ts";
import { firstEnd, type AuthorizationToken } from "./token.ts";

export const fieldManager = "ecr-helper";

/** The live tokens by region. */
export type Tokens = ReadonlyMap<string, AuthorizationToken>;

export interface Metadata {
  name: string;
  namespace: string;
  uid?: string;
  resourceVersion?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: object[];
}

export interface Secret {
  apiVersion: "v1";
  kind: "Secret";
  metadata: Metadata;
  type: string;
  /** Values in base64. */
  data: Record<string, string>;
}

export interface NameReference {
  name: string;
}

export interface ServiceAccount {
  apiVersion: "v1";
  kind: "ServiceAccount";
  metadata: Metadata;
  secrets?: NameReference[];
  imagePullSecrets?: NameReference[];
}

/** The labels by which the helper of one stack knows what it made. */
export const ownLabels = (config: HelperConfig): Record<string, string> => ({
  "app.kubernetes.io/managed-by": "ecr-helper",
  "app.kubernetes.io/instance": config.owner.name,
});

const ownMetadata = (config: HelperConfig, namespace: string, name: string): Metadata => ({
  name,
  namespace,
  labels: ownLabels(config),
  ownerReferences: [{ apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", ...config.owner }],
});

/** The hosts a registry is reached under: its own, and for the stack's own registry the configured one first. */
const hostsOf = (config: HelperConfig, registry: Registry): string[] =>
  registry === config.registries[0] && config.registryHost !== undefined
    ? [config.registryHost, registry.host]
    : [registry.host];

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** The annotation that tells when the first of these tokens ends, where they say so. */
function expiry(tokens: Iterable<AuthorizationToken>): Record<string, string> {
  const end = firstEnd(tokens);
  return end === undefined ? {} : { "ecr-helper/expires-at": end.toISOString() };
}

/**
 * The secret builds log in with: type basic-auth, annotated for Knative and Tekton with each endpoint its password opens.
 * It holds one password, so it is for the registries of the first one's region. Undefined while there is no token.
 */
export function basicAuthSecret(config: HelperConfig, namespace: string, tokens: Tokens): Secret | undefined {
  const region = config.registries[0]?.region;
  const token = region === undefined ? undefined : tokens.get(region);
  if (token === undefined) return undefined;
  const hosts = config.registries.filter((one) => one.region === region).flatMap((one) => hostsOf(config, one));
  const metadata = ownMetadata(config, namespace, config.basicAuthSecret);
  metadata.annotations = expiry([token]);
  for (const [index, host] of hosts.entries()) {
    metadata.annotations[`build.knative.dev/docker-${String(index)}`] = `https://${host}`;
    metadata.annotations[`tekton.dev/docker-${String(index)}`] = `https://${host}`;
  }
  const data = { username: base64(token.username), password: base64(token.password) };
  return { apiVersion: "v1", kind: "Secret", metadata, type: "kubernetes.io/basic-auth", data };
}

/** The entries of a docker config, by host. */
export type Auths = Readonly<Record<string, object>>;

/**
 * The secret images are pulled with: every registry, with and without https://. A registry without a token keeps the
 * entries of `kept`, what an earlier helper wrote for it: they may still be good. Undefined without any token.
 */
export function pullSecret(config: HelperConfig, namespace: string, tokens: Tokens, kept: Auths): Secret | undefined {
  const auths: Record<string, object> = {};
  const used = new Set<AuthorizationToken>();
  for (const registry of config.registries) {
    const token = tokens.get(registry.region);
    if (token !== undefined) used.add(token);
    for (const host of hostsOf(config, registry).flatMap((one) => [one, `https://${one}`])) {
      const entry = token === undefined ? kept[host] : authOf(token);
      if (entry !== undefined) auths[host] = entry;
    }
  }
  if (used.size === 0) return undefined;
  const metadata = ownMetadata(config, namespace, config.pullSecret);
  metadata.annotations = expiry(used);
  const data = { ".dockerconfigjson": base64(JSON.stringify({ auths })) };
  return { apiVersion: "v1", kind: "Secret", metadata, type: "kubernetes.io/dockerconfigjson", data };
}

const authOf = ({ username, password }: AuthorizationToken): object => ({
  username,
  password,
  auth: base64(`${username}:${password}`),
});

/** The entries of a secret that `pullSecret` made; none where it holds anything else. */
export function authsOf(data: Readonly<Record<string, string>> | undefined): Auths {
  try {
    const { auths } = JSON.parse(Buffer.from(data?.[".dockerconfigjson"] ?? "", "base64").toString()) as {
      auths?: Auths;
    };
    return auths ?? {};
  } catch {
    return {}; // Not a docker config: there is nothing in it to keep.
  }
}

/** The service account as the helper creates it where there is none. */
export const newServiceAccount = (config: HelperConfig, namespace: string): ServiceAccount => ({
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: ownMetadata(config, namespace, config.serviceAccount),
  secrets: [{ name: config.basicAuthSecret }],
  imagePullSecrets: [{ name: config.pullSecret }],
});

/** A list with an entry of this name: the very same list when it has one, else extended at its end. */
export const withEntry = (list: readonly NameReference[], name: string): readonly NameReference[] =>
  list.some((entry) => entry.name === name) ? list : [...list, { name }];

/**
 * What to change in an existing service account so that it lists both secrets: its two lists extended, and the
 * resourceVersion they were read at, so that a write in between makes it fail. Undefined when it is right.
 */
export function serviceAccountPatch(config: HelperConfig, found: ServiceAccount): object | undefined {
  const { secrets = [], imagePullSecrets = [], metadata } = found;
  const wanted = {
    secrets: withEntry(secrets, config.basicAuthSecret),
    imagePullSecrets: withEntry(imagePullSecrets, config.pullSecret),
  };
  if (wanted.secrets === secrets && wanted.imagePullSecrets === imagePullSecrets) return undefined;
  return { metadata: { resourceVersion: metadata.resourceVersion }, ...wanted };
}
