// Signs a request for the emulator as the root of an account.
import { createHash, createHmac } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { SignatureV4 } from "@smithy/signature-v4";
import { rootCredentials } from "../root-key.ts";

/** A request to be signed. */
export interface UnsignedRequest {
  readonly method: string;
  /** Path and query, as they are sent. */
  readonly path: string;
  /** The headers of the original request; a signature in them is replaced. */
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The account whose root signs, 12 digits, and the region and service that the request is signed for. */
  readonly account: string;
  readonly region: string;
  readonly service: string;
}

type Bytes = string | ArrayBuffer | ArrayBufferView;

const toHash = (bytes: Bytes): string | Uint8Array => {
  if (typeof bytes === "string") return bytes;
  return ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
};

/** SHA-256 of Node, with the interface that the signer takes. */
class Sha256 {
  readonly #hash: { update: (bytes: string | Uint8Array) => unknown; digest: () => Buffer };

  constructor(secret?: Bytes) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", toHash(secret));
  }

  update(bytes: Bytes): void {
    this.#hash.update(toHash(bytes));
  }

  async digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new Error("this hash cannot be reset: create another one");
  }
}

/** The headers of the same request, signed by the account's root. */
export async function signAsRoot(request: UnsignedRequest): Promise<IncomingHttpHeaders> {
  const { account, region, service, method, body, headers } = request;
  const { pathname: path, searchParams } = new URL(request.path, "http://aws");
  const signer = new SignatureV4({ service, region, credentials: rootCredentials(account), sha256: Sha256 });
  const signed = await signer.sign({
    method,
    protocol: "http:",
    hostname: headers.host ?? "",
    path,
    query: Object.fromEntries(searchParams),
    headers: { host: headers.host ?? "" },
    body,
  });
  const rest = { ...headers };
  for (const one of ["authorization", "x-amz-security-token", "x-amz-content-sha256"])
    Reflect.deleteProperty(rest, one);
  return { ...rest, ...signed.headers };
}
