// The writers that the helper is compared with: one as fast as the API server allows, in each way that it can write a secret, and one
// that works as other tools do.
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { readConfig } from "../../helper/config/helper-config.ts";
import { skipFieldWarnings } from "../../helper/controller/secret-writer.ts";
import { createKubeClient, acceptMetadataOnly, type KubeOptions } from "../../helper/kube/client.ts";
import type { KubeObject } from "../../helper/kube/types.ts";
import { encodeSecret, protobufType } from "../../helper/resources/secret-protobuf.ts";
import { secretsOf } from "../../helper/resources/secrets.ts";
import type { OwnerReference } from "../../helper/resources/owners.ts";
import type { Secret } from "../../helper/resources/types.ts";
import { inParallel } from "../../helper/runtime/parallel.ts";
import { secretPath } from "../support/kept-objects.ts";
import { exampleOwners } from "../support/owners.ts";

/** A secret to write, and who owns it. */
interface Content {
  readonly secret: Secret;
  readonly owners: readonly OwnerReference[];
}

/** The secrets that a helper with this environment would write; the token differs with `round`. */
export function newSecrets(env: Readonly<Record<string, string>>, round: number): Content[] {
  const config = readConfig(env);
  // As long as the local cloud's passwords.
  const password = String(round).padStart(4, "0").repeat(171);
  const token = { username: "AWS", password, issuedAt: round, expiresAt: round + 1 };
  const tokens = new Map([...config.basicAuthSecrets.keys()].map((region) => [region, token]));
  return secretsOf(config, tokens).map((secret) => ({ secret, owners: exampleOwners(config) }));
}

/** One secret of a namespace. A resourceVersion is that of the content that may be replaced. */
export interface Target {
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion?: string;
}

/** A way to write a secret. What is the same in every namespace is encoded once. */
export interface Way {
  readonly method: "POST" | "PUT" | "PATCH";
  readonly contentType: string;
  readonly query?: string;
  readonly encode: (content: Content) => (resourceVersion?: string) => Buffer;
}

function encodeJson({ secret: { metadata, ...rest }, owners }: Content): (resourceVersion?: string) => Buffer {
  const start = '{"metadata":{';
  const json = JSON.stringify({ metadata: { ...metadata, ownerReferences: owners }, ...rest });
  return (version) =>
    Buffer.from(version === undefined ? json : `${start}"resourceVersion":"${version}",${json.slice(start.length)}`);
}

const apply: Way = {
  method: "PATCH",
  contentType: "application/apply-patch+yaml",
  query: "&force=true",
  encode: (content) => {
    const body = encodeJson(content)();
    return () => body;
  },
};

/** Creates a secret. */
export const create: Way = { method: "POST", contentType: "application/json", encode: encodeJson };

/** The ways to write a secret that exists: all but the first at the resourceVersion that was seen. */
export const ways: Readonly<Record<string, Way>> = {
  apply,
  "merge patch": { method: "PATCH", contentType: "application/merge-patch+json", encode: encodeJson },
  "PUT as JSON": { method: "PUT", contentType: "application/json", encode: encodeJson },
  "PUT as protobuf": {
    method: "PUT",
    contentType: protobufType,
    encode: ({ secret, owners }) => encodeSecret(secret, owners),
  },
};

const width = 32;

/** Writes to all targets, 32 at a time over one HTTP/2 connection. */
export async function writeRaw(
  { server, ca, token }: KubeOptions,
  { method, contentType, query = "", encode }: Way,
  targets: readonly Target[],
  contents: readonly Content[],
): Promise<void> {
  const encoded = new Map(contents.map((content) => [content.secret.metadata.name, encode(content)]));
  const session = connectHttp2(server, { ca: ca() });
  await inParallel(targets, width, async ({ namespace, name, resourceVersion }) => {
    const path = method === "POST" ? `/api/v1/namespaces/${namespace}/secrets` : secretPath(namespace, name);
    const headers = {
      ":method": method,
      ":path": `${path}?fieldManager=bench&${skipFieldWarnings}${query}`,
      authorization: `Bearer ${token()}`,
      "content-type": contentType,
      accept: acceptMetadataOnly(),
    };
    await request(session, headers, encoded.get(name)?.(resourceVersion));
  });
  session.close();
}

async function request(session: ClientHttp2Session, headers: Record<string, string>, body?: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stream = session.request(headers);
    stream.on("response", ({ ":status": status = 0 }) => {
      if (status > 299) reject(new Error(`${String(headers[":path"])} was answered ${String(status)}`));
    });
    stream.on("error", reject).on("end", resolve).resume().end(body);
  });
}

/** Reads and updates one secret after the other, as tools do that walk a list by a timer. */
export async function writeSequentially(
  options: KubeOptions,
  targets: readonly Target[],
  contents: readonly Content[],
): Promise<void> {
  const kube = createKubeClient(options);
  const encoded = new Map(contents.map((content) => [content.secret.metadata.name, encodeJson(content)]));
  for (const { namespace, name } of targets) {
    const path = secretPath(namespace, name);
    const { metadata } = await kube<KubeObject>({ method: "GET", path });
    await kube({ method: "PUT", path, body: encoded.get(name)?.(metadata.resourceVersion) });
  }
}
