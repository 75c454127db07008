// The OIDC provider by which IAM knows the cluster's tokens: looked up before anything is made.
import { getOpenIdConnectProvider } from "@pulumi/aws/iam/getOpenIdConnectProvider.js";
import * as pulumi from "@pulumi/pulumi";
import { firstLine } from "../helper/shared/messages.ts";
import type { EksCluster } from "./cluster.ts";
import type { OidcSource } from "./config/identity.ts";
import { audience } from "./trust-policy.ts";

/** The provider of an issuer. `issuer` is a URL; `arn` is undefined where the stack has yet to make the provider. */
export interface OidcProvider {
  readonly issuer: string;
  readonly arn: string | undefined;
}

/** Finds the provider. Rejects with what to do where IAM has none, or none that takes tokens for AWS. */
export async function findOidcProvider(
  { oidc, createProvider }: { oidc: OidcSource; createProvider: boolean },
  eks: EksCluster | undefined,
): Promise<OidcProvider> {
  if (typeof oidc === "object" && "providerArn" in oidc) return find({ arn: oidc.providerArn });
  const issuer = typeof oidc === "object" ? oidc.issuer : (eks?.issuer ?? "");
  if (issuer === "") {
    const expected = "an EKS cluster with an OIDC issuer, which this one has not, or oidcIssuer";
    throw new pulumi.RunError(`ecr-helper:eksCluster = ${JSON.stringify(eks?.name)}: expected ${expected}`);
  }
  return createProvider ? { issuer, arn: undefined } : find({ url: issuer });
}

async function find(wanted: { arn: string } | { url: string }): Promise<OidcProvider> {
  const [key, value] = "arn" in wanted ? ["oidcProviderArn", wanted.arn] : ["oidcIssuer", wanted.url];
  const fail = (expected: string): never => {
    throw new pulumi.RunError(
      `ecr-helper:${key} = ${JSON.stringify(value)}: expected ${expected}. Nothing was changed.`,
    );
  };
  const found = await getOpenIdConnectProvider(wanted).catch((error: unknown) =>
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
