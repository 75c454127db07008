// A token of a helper's service account that a test revokes, as it is bound to a secret of its own.
import { randomBytes } from "node:crypto";
import { recordSecrets } from "../local/audit-log.ts";
import type { Parts } from "./stack-parts.ts";

/** A token, and what revokes it. An API server that has accepted it before may do so for ten seconds more. */
export interface BoundToken {
  readonly token: string;
  readonly revoke: () => Promise<void>;
}

/** Requests such a token for the helper of these parts. */
export async function requestBoundToken({ admin, env }: Pick<Parts, "admin" | "env">): Promise<BoundToken> {
  const namespace = String(env["ECR_HELPER_NAMESPACE"]);
  const [secrets, name] = [`/api/v1/namespaces/${namespace}/secrets`, `bound-${randomBytes(3).toString("hex")}`];
  const { metadata } = await admin<{ metadata: { uid: string } }>({
    method: "POST",
    path: secrets,
    body: { metadata: { name } },
  });
  const boundObjectRef = { apiVersion: "v1", kind: "Secret", name, uid: metadata.uid };
  const { status } = await admin<{ status: { token: string } }>({
    method: "POST",
    path: `/api/v1/namespaces/${namespace}/serviceaccounts/ecr-helper/token`,
    body: { spec: { boundObjectRef } },
  });
  recordSecrets([status.token]);
  return {
    token: status.token,
    revoke: async () => void (await admin({ method: "DELETE", path: `${secrets}/${name}` })),
  };
}
