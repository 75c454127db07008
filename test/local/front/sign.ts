// Signs a request for the emulator as the root of an account, with Signature Version 4.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
import { createHash, createHmac } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { rootOf } from "./emulator.ts";

export interface Unsigned {
  readonly method: string;
  /** Path and query, as they are sent. */
  readonly path: string;
  /** What it came with; a signature in it is replaced. */
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The account that is asked, 12 digits, and the region and service that the request is signed for. */
  readonly account: string;
  readonly region: string;
  readonly service: string;
}

const sha256 = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex");
const hmac = (key: string | Buffer, content: string): Buffer => createHmac("sha256", key).update(content).digest();

/** In a canonical request all but these is encoded. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);

/** The headers of the same request by the account's root. */
export function signedAsRoot(request: Unsigned): IncomingHttpHeaders {
  const { account, region, service, body } = request;
  const { accessKeyId, secretAccessKey } = rootOf(account);
  const headers = { ...request.headers };
  for (const one of ["x-amz-security-token", "x-amz-content-sha256"]) Reflect.deleteProperty(headers, one);
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = [time.slice(0, 8), region, service, "aws4_request"];
  const { pathname, searchParams } = new URL(request.path, "http://aws");
  const query = [...searchParams].map(([key, value]) => `${encode(key)}=${encode(value)}`).sort();
  const canonical = [
    request.method,
    pathname.split("/").map(encode).join("/"),
    query.join("&"),
    `host:${headers.host ?? ""}\nx-amz-date:${time}\n`,
    "host;x-amz-date",
    sha256(body),
  ].join("\n");
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  const text = ["AWS4-HMAC-SHA256", time, scope.join("/"), sha256(canonical)].join("\n");
  const signature = hmac(key, text).toString("hex");
  const credential = `Credential=${[accessKeyId, ...scope].join("/")}`;
  const authorization = `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host;x-amz-date, Signature=${signature}`;
  return { ...headers, "x-amz-date": time, authorization };
}
