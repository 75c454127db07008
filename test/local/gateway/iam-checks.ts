// Checks of IAM and STS that the emulator lacks.
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { IAMClient, ListAccessKeysCommand } from "@aws-sdk/client-iam";
import { account, aws, serviceAccountKey, url, type Endpoint } from "../settings.ts";
import { rootCredentials } from "../root-key.ts";

/** A response of AWS that refuses a request. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** The quota of access keys: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html */
const keysPerUser = 2;

/** Checks the form of a request to IAM or STS. Returns the form for the emulator, or a refusal. */
export async function checkIamRequest(body: Buffer, emulator: Endpoint): Promise<Buffer | Refusal> {
  const form = new URLSearchParams(body.toString());
  const action = form.get("Action");
  if (action === "AssumeRoleWithWebIdentity") return checkWebIdentity(form);
  if (action === "CreateAccessKey") return (await checkKeyQuota(form, emulator)) ?? body;
  return body;
}

async function checkKeyQuota(form: URLSearchParams, emulator: Endpoint): Promise<Refusal | undefined> {
  const iam = new IAMClient({ endpoint: url(emulator), region: aws.AWS_REGION, credentials: rootCredentials(account) });
  const UserName = form.get("UserName") ?? undefined;
  const { AccessKeyMetadata = [] } = await iam.send(new ListAccessKeysCommand({ UserName }));
  if (AccessKeyMetadata.length < keysPerUser) return undefined;
  const message = `Cannot exceed quota for AccessKeysPerUser: ${String(keysPerUser)}`;
  return { status: 409, code: "LimitExceeded", message };
}

/**
 * Checks that a web identity's token is signed by the local API server and has not expired. The API server writes the audience as a
 * list. AWS takes a list with one element for that element, but the emulator does not, so it is replaced here.
 */
function checkWebIdentity(form: URLSearchParams): Buffer | Refusal {
  const [header = "", payload = "", signature = ""] = (form.get("WebIdentityToken") ?? "").split(".");
  const key = createPublicKey(readFileSync(serviceAccountKey));
  const signed = Buffer.from(`${header}.${payload}`);
  // A JWT has both numbers of the ECDSA signature side by side, not in DER encoding.
  const signatureBytes = Buffer.from(signature, "base64url");
  if (!verify("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, signatureBytes)) {
    return { status: 400, code: "InvalidIdentityToken", message: "The token is not signed by the issuer" };
  }
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as { aud: string[] | string; exp: number };
  if (claims.exp * 1000 < Date.now()) {
    return { status: 400, code: "ExpiredTokenException", message: "The token has expired" };
  }
  const aud = Array.isArray(claims.aud) && claims.aud.length === 1 ? claims.aud[0] : claims.aud;
  const adapted = Buffer.from(JSON.stringify({ ...claims, aud })).toString("base64url");
  form.set("WebIdentityToken", [header, adapted, signature].join("."));
  return Buffer.from(form.toString());
}
