// AWS authentication of the helper: as which IAM user or role it asks for tokens.
import { createHash } from "node:crypto";
import type { HelperVariable } from "../shared/environment.ts";
import { identities } from "../shared/names.ts";
import { matching, oneOf, type Environment, type EnvironmentReader } from "./environment-reader.ts";

/** Which identity asks for the tokens. */
export interface IdentityConfig {
  /** How the helper authenticates to AWS. */
  readonly identity: (typeof identities)[number];
  /** The IAM user's name or the role's ARN; empty where the stack does not know it. */
  readonly principal: string;
  /** Hash of identity, principal and access key id: tokens issued to another identity may be revoked with it. */
  readonly fingerprint: string;
  /** ARN of the role that asks for the tokens that builds push with; undefined where nothing is pushed. */
  readonly pushRole: string | undefined;
  /** Hash of the same and the push role. */
  readonly pushFingerprint: string;
}

/** No spaces or control characters: the stack has checked these values as names of IAM. */
const printable = /^[!-~]*$/;

const fingerprintVariables = ["ECR_HELPER_IDENTITY", "ECR_HELPER_PRINCIPAL", "AWS_ACCESS_KEY_ID"] as const;

/** Reads the identity. Mistakes go to the reader. */
export function readIdentity(reader: EnvironmentReader, env: Environment): IdentityConfig {
  const principal = "empty, the name of an IAM user or the ARN of a role";
  return {
    identity: reader.read("ECR_HELPER_IDENTITY", identities.join(", "), oneOf(identities)),
    principal: reader.read("ECR_HELPER_PRINCIPAL", principal, matching(printable)),
    fingerprint: hashOf(env, fingerprintVariables),
    pushRole: reader.read("ECR_HELPER_PUSH_ROLE", "empty, or the ARN of a role", matching(printable)) || undefined,
    pushFingerprint: hashOf(env, [...fingerprintVariables, "ECR_HELPER_PUSH_ROLE"]),
  };
}

/** The first 16 hex digits are enough to tell identities apart. */
function hashOf(env: Environment, variables: readonly (HelperVariable | "AWS_ACCESS_KEY_ID")[]): string {
  const values = variables.map((name) => env[name]);
  return createHash("sha256").update(JSON.stringify(values)).digest("hex").slice(0, 16);
}
