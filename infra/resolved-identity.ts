// The configured identity together with what has to be looked up for it in AWS.
import type { EksCluster } from "./cluster.ts";
import type { IdentityConfig } from "./config/identity.ts";
import { findOidcProvider, type OidcProvider } from "./oidc.ts";

/** The configuration of one identity. */
export type ConfigOf<Mode> = Extract<IdentityConfig, { mode: Mode }>;

/** The configured identity, with the OIDC provider that irsa needs and the EKS cluster that podIdentity needs. */
export type ResolvedIdentity =
  | ConfigOf<"accessKey" | "kube2iam" | "node">
  | (ConfigOf<"irsa"> & { readonly provider: OidcProvider })
  | (ConfigOf<"podIdentity"> & { readonly eks: EksCluster });

/** Looks up what the identity needs. Rejects with a RunError if IAM has no usable OIDC provider for irsa. */
export async function resolveIdentity(
  identity: IdentityConfig,
  eks: EksCluster | undefined,
): Promise<ResolvedIdentity> {
  switch (identity.mode) {
    case "irsa":
      return { ...identity, provider: await findOidcProvider(identity, eks) };
    case "podIdentity":
      if (eks === undefined) throw new Error("identity podIdentity has no EKS cluster, which readIdentity checks");
      return { ...identity, eks };
    default:
      return identity;
  }
}
