// Checks the signature of requests by an account's root. The emulator accepts an account's id, or `test`, as the access key id of the
// root without looking at the signature.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { ReceivedRequest } from "../aws-requests.ts";
import { rootCredentials, type RootKey } from "../root-key.ts";
import type { Refusal } from "./iam-checks.ts";

interface Signature {
  readonly key: string;
  /** Date, region and service, between slashes. */
  readonly scope: string;
  /** As in X-Amz-Date. */
  readonly time: string;
  readonly signedHeaders: string;
  /** In hexadecimal digits. */
  readonly value: string;
}

const algorithm = "AWS4-HMAC-SHA256";
/** How far the signer's clock may be off, and how old a signature may be, in milliseconds. */
const tolerance = 15 * 60_000;

const credential = /^([^/,\s]+)\/(\d{8}\/[\w-]+\/[\w-]+)\/aws4_request$/;
const authorization = /^AWS4-HMAC-SHA256 Credential=([^,\s]+), ?SignedHeaders=([\w;-]+), ?Signature=([0-9a-f]{64})$/;
const parameters = ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"];
/** Whether a parameter belongs to a signature in the query, including the older forms that AWS' own clients no longer use. */
const isOfSignature = (name: string): boolean =>
  ["signature", "awsaccesskeyid", ...parameters.map((one) => one.toLowerCase())].includes(name.toLowerCase());

/** The signature of a request; undefined without one; "malformed" where it is ambiguous who signed the request. */
function signatureIn({ url = "/", headers }: ReceivedRequest): Signature | "malformed" | undefined {
  const query = new URL(url, "http://aws").searchParams;
  const inQuery = [...query.keys()].filter(isOfSignature);
  const inHeader = headers.authorization;
  if (inQuery.length === 0) {
    return inHeader === undefined ? undefined : signatureOf(inHeader, String(headers["x-amz-date"]));
  }
  const isClear = inHeader === undefined && inQuery.length === parameters.length;
  return isClear ? signatureOf(asHeader(query), query.get("X-Amz-Date") ?? "") : "malformed";
}

function signatureOf(header: string, time: string): Signature | "malformed" {
  const [, credentialText = "", signedHeaders = "", value = ""] = authorization.exec(header) ?? [];
  const [, key = "", scope] = credential.exec(credentialText) ?? [];
  return scope === undefined ? "malformed" : { key, scope, time, signedHeaders, value };
}

/** The signature's parameters in the form of the Authorization header. */
function asHeader(query: URLSearchParams): string {
  const [of, credentialText, , signed, value] = parameters.map((name) => query.get(name) ?? "");
  return `${String(of)} Credential=${String(credentialText)}, SignedHeaders=${String(signed)}, Signature=${String(value)}`;
}

/** Refuses a request that names an account's root but is not signed with its key; else undefined. `keyOf` gives a root's key. */
export async function checkRoot(
  received: ReceivedRequest,
  body: Buffer,
  keyOf = rootCredentials,
): Promise<Refusal | undefined> {
  const signature = signatureIn(received);
  if (signature === undefined) return undefined;
  if (signature === "malformed") {
    return {
      status: 400,
      code: "IncompleteSignature",
      message: "The request signature does not conform to AWS standards.",
    };
  }
  if (signature.key === "test") {
    return {
      status: 403,
      code: "InvalidClientTokenId",
      message: "The security token included in the request is invalid.",
    };
  }
  if (!/^\d{12}$/.test(signature.key)) return undefined;
  const isRight = isRecent(signature) && isSignedBy(await keyOf(signature.key)(), signature, received, body);
  const message = "The request signature we calculated does not match the signature you provided.";
  return isRight ? undefined : { status: 403, code: "SignatureDoesNotMatch", message };
}

function isRecent({ time, scope }: Signature): boolean {
  const iso = time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z");
  return time.startsWith(scope.slice(0, 8)) && Math.abs(Date.now() - Date.parse(iso)) <= tolerance;
}

const sha256 = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();

function isSignedBy(
  { secretAccessKey }: RootKey,
  signature: Signature,
  received: ReceivedRequest,
  body: Buffer,
): boolean {
  const { scope, time, value } = signature;
  const whole = `${scope}/aws4_request`;
  const text = [algorithm, time, whole, sha256(canonical(signature, received, body))].join("\n");
  const key = whole
    .split("/")
    .reduce<string | Buffer>((derived, part) => hmac(derived, part), `AWS4${secretAccessKey}`);
  return timingSafeEqual(hmac(key, text), Buffer.from(value, "hex"));
}

/** The canonical request that the signature covers. */
function canonical(
  { signedHeaders }: Signature,
  { method = "", url = "/", headers }: ReceivedRequest,
  body: Buffer,
): string {
  const [path = "/"] = url.split("?");
  const query = [...new URL(url, "http://aws").searchParams]
    .filter(([name]) => name !== "X-Amz-Signature")
    .map((pair) => pair.map(encoded).join("="));
  return [
    method,
    // The path is already encoded; the signature takes it encoded twice.
    encoded(path).replaceAll("%2F", "/"),
    query.sort().join("&"),
    ...signedHeaders.split(";").map((name) => `${name}:${valueOf(headers, name)}`),
    "",
    signedHeaders,
    sha256(body),
  ].join("\n");
}

const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);

const valueOf = (headers: IncomingHttpHeaders, name: string): string =>
  [headers[name] ?? ""].flat().join(",").trim().replaceAll(/ +/g, " ");
