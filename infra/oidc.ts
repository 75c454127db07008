// The IAM OIDC provider that trusts the cluster's tokens. It is looked up before any change.
import { getOpenIdConnectProvider } from "@pulumi/aws/iam/getOpenIdConnectProvider.js";
import * as pulumi from "@pulumi/pulumi";
import { firstLine } from "../helper/shared/messages.ts";
import type { EksCluster } from "./cluster.ts";
import type { OidcSource } from "./config/identity.ts";
import { audience } from "./trust-policy.ts";

/** The OIDC provider of an issuer. `issuer` is a URL; `arn` is undefined if the stack creates the provider. */
export interface OidcProvider {
  readonly issuer: string;
  readonly arn: string | undefined;
}

/** Looks up the provider. Rejects with a RunError if IAM has none, or if it does not accept the audience of AWS. */
export async function findOidcProvider(
  { oidc, createProvider }: { oidc: OidcSource; createProvider: boolean },
  eks: EksCluster | undefined,
): Promise<OidcProvider> {
  if (typeof oidc === "object" && "providerArn" in oidc) return findInIam({ arn: oidc.providerArn });
  const issuer = typeof oidc === "object" ? oidc.issuer : (eks?.issuer ?? "");
  if (issuer === "") {
    const expected = "an EKS cluster with an OIDC issuer, which this one has not, or oidcIssuer";
    throw new pulumi.RunError(`ecr-helper:eksCluster = ${JSON.stringify(eks?.name)}: expected ${expected}`);
  }
  return createProvider ? { issuer, arn: undefined } : findInIam({ url: issuer });
}

async function findInIam(query: { arn: string } | { url: string }): Promise<OidcProvider> {
  const [key, value] = "arn" in query ? ["oidcProviderArn", query.arn] : ["oidcIssuer", query.url];
  const fail = (expected: string): never => {
    throw new pulumi.RunError(
      `ecr-helper:${key} = ${JSON.stringify(value)}: expected ${expected}. Nothing was changed.`,
    );
  };
  const found = await getOpenIdConnectProvider(query).catch((error: unknown) =>
    fail(
      "an OIDC provider that IAM has in this account; createOidcProvider = true makes the one of an issuer " +
        `(${firstLine(error)})`,
    ),
  );
  if (!found.clientIdLists.includes(audience)) {
    fail(`an OIDC provider with the audience ${audience}; this one has ${found.clientIdLists.join(", ")}`);
  }
  return { issuer: `https://${found.url.replace(/^https:\/\//, "")}`, arn: found.arn };
}
