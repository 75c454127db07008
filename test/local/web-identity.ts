// What the emulator's STS does not do with the token of a web identity: check its signature, and take an audience that is
// a list with one element for what AWS takes it, that element. https://github.com/kubernetes/kubernetes signs its tokens so.
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { serviceAccountKey } from "./machine.ts";

/**
 * The body of a request to STS, as the emulator wants it; undefined where its token is not one of the local API server's,
 * or has ended. Any other request stays as it is.
 */
export function checkedWebIdentity(body: Buffer): Buffer | undefined {
  const form = new URLSearchParams(body.toString());
  if (form.get("Action") !== "AssumeRoleWithWebIdentity") return body;
  const [header = "", payload = "", signature = ""] = (form.get("WebIdentityToken") ?? "").split(".");
  const key = createPublicKey(readFileSync(serviceAccountKey));
  const signed = Buffer.from(`${header}.${payload}`);
  // A JWT's signature is both numbers of ECDSA side by side, not their DER encoding.
  const given = Buffer.from(signature, "base64url");
  if (!verify("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, given)) return undefined;
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as { aud: string[] | string; exp: number };
  if (claims.exp * 1000 < Date.now()) return undefined;
  const aud = Array.isArray(claims.aud) && claims.aud.length === 1 ? claims.aud[0] : claims.aud;
  const adapted = Buffer.from(JSON.stringify({ ...claims, aud })).toString("base64url");
  form.set("WebIdentityToken", [header, adapted, signature].join("."));
  return Buffer.from(form.toString());
}
