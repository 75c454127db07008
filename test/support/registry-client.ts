// A client of the registry protocol with one ECR token. It sends the requests that docker, containerd and builders send.
import { createHash } from "node:crypto";
import { ECRClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { aws, url, type Endpoint } from "../local/settings.ts";

/** AWS credentials. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** Credentials, or a function that reads them when they are needed. */
export type CredentialSource = Credentials | (() => Promise<Credentials>);

/** Requests an authorization token and resolves with its password. Rejects with the error of ECR. */
export async function passwordFor(
  credentials: CredentialSource,
  { api, region = aws.AWS_REGION }: { api: Endpoint; region?: string },
): Promise<string> {
  const ecr = new ECRClient({ endpoint: url(api), region, credentials });
  const { authorizationData: [data] = [] } = await ecr.send(new GetAuthorizationTokenCommand());
  return Buffer.from(data?.authorizationToken ?? "", "base64")
    .toString()
    .replace(/^AWS:/, "");
}

/** An error of the registry: `403 DENIED User: ... is not authorized to perform: ...`. */
export class RegistryError extends Error {
  override readonly name = "RegistryError";
}

/** The digest of a blob or manifest: `sha256:HEX`. */
export const sha256 = (content: string | Buffer): string =>
  `sha256:${createHash("sha256").update(content).digest("hex")}`;

const manifestType = "application/vnd.oci.image.manifest.v1+json";

/** The body of a request, and its media type. */
export interface RequestOptions {
  readonly body?: string | Buffer;
  readonly type?: string;
}

/** Sends requests to one registry with one password, or anonymously. */
export class RegistryClient {
  readonly #registry: string;
  readonly #authorization: string | undefined;
  readonly #host: string | undefined;

  /** `host` selects the registry of an ECR host that the local cloud mirrors; by default the local cloud's own registry. */
  constructor(registry: Endpoint, password: string | undefined, host?: string) {
    this.#registry = url(registry);
    this.#authorization =
      password === undefined ? undefined : `Basic ${Buffer.from(`AWS:${password}`).toString("base64")}`;
    this.#host = host;
  }

  /** Sends one request and resolves with the response, whatever its status. */
  async send(
    method: string,
    path: string,
    { body, type = "application/octet-stream" }: RequestOptions = {},
  ): Promise<Response> {
    const target = new URL(path, this.#registry);
    if (this.#host !== undefined) target.searchParams.set("ns", this.#host);
    const headers = {
      ...(this.#authorization === undefined ? {} : { authorization: this.#authorization }),
      ...(body === undefined ? {} : { "content-type": type }),
    };
    return fetch(target, {
      method,
      headers,
      ...(body === undefined ? {} : { body: new Uint8Array(Buffer.from(body)) }),
    });
  }

  /** Sends one request and resolves with the response. Rejects with a RegistryError for an error status. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const answer = await this.send(method, path, options);
    if (answer.ok) return answer;
    throw new RegistryError(await errorText(answer));
  }

  /** Pushes an image of one layer, as docker does. Resolves with the manifest's digest. */
  async push(repository: string, tag: string, layer: string | Buffer): Promise<string> {
    const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } });
    const described = [config, layer].map((content) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest: sha256(content),
      size: Buffer.byteLength(content),
    }));
    for (const content of [config, layer]) await this.upload(repository, content);
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: { ...described[0], mediaType: "application/vnd.oci.image.config.v1+json" },
      layers: [described[1]],
    });
    await this.request("PUT", `/v2/${repository}/manifests/${tag}`, { body: manifest, type: manifestType });
    return sha256(manifest);
  }

  /** Uploads a blob unless the repository has it. */
  async upload(repository: string, content: string | Buffer): Promise<void> {
    const existing = await this.send("HEAD", `/v2/${repository}/blobs/${sha256(content)}`);
    if (existing.ok) return;
    if (existing.status !== 404) throw new RegistryError(`${String(existing.status)} HEAD of a blob`);
    const started = await this.request("POST", `/v2/${repository}/blobs/uploads/`);
    const location = started.headers.get("location") ?? "";
    await this.request("PATCH", location, { body: content });
    await this.request("PUT", `${location}?digest=${sha256(content)}`);
  }

  /** Pulls an image, as containerd does. Resolves with its config and layers. */
  async pull(repository: string, reference: string): Promise<Buffer[]> {
    const manifest = await this.request("GET", `/v2/${repository}/manifests/${reference}`);
    const { config, layers } = (await manifest.json()) as Record<"config", Blob> & Record<"layers", Blob[]>;
    const blobs = [config, ...layers].map(async ({ digest }) =>
      this.request("GET", `/v2/${repository}/blobs/${digest}`),
    );
    return Promise.all(blobs.map(async (blob) => Buffer.from(await (await blob).arrayBuffer())));
  }
}

interface Blob {
  readonly digest: string;
}

async function errorText(answer: Response): Promise<string> {
  const text = await answer.text();
  const isJson = answer.headers.get("content-type") === "application/json";
  const { errors: [error] = [] } = isJson ? (JSON.parse(text) as { errors?: { code: string; message: string }[] }) : {};
  return error === undefined
    ? `${String(answer.status)} ${text}`
    : `${String(answer.status)} ${error.code} ${error.message}`;
}
