import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readConfig } from "../../helper/config/helper-config.ts";
import { isAccessDenied, accessDeniedHint } from "../../helper/ecr/access-denied.ts";
import { helperEnvironment } from "../support/helper-environment.ts";

const named = (name: string): Error => Object.assign(new Error("no"), { name });

describe("a denial by AWS", () => {
  it("is an error of ECR, STS or the SDK about an unknown identity or a missing permission", () => {
    for (const name of [
      "AccessDeniedException",
      "UnrecognizedClientException",
      "InvalidClientTokenId",
      "InvalidIdentityToken",
      "InvalidIdentityTokenException",
      "AccessDenied",
      "CredentialsProviderError",
    ])
      assert.ok(isAccessDenied(named(name)), name);
  });

  it("is no other error", () => {
    for (const name of ["Error", "TimeoutError", "ServerException", "ThrottlingException", "NotAccessDenied", ""])
      assert.ok(!isAccessDenied(named(name)), name);
    for (const error of ["AccessDenied", { name: "AccessDenied" }, undefined]) assert.ok(!isAccessDenied(error));
  });

  it("is explained by what the identity depends on, by name", () => {
    const role = "arn:aws:iam::123456789012:role/builds/ecr-helper";
    const account = "system:serviceaccount:tools:helper";
    const texts: Record<string, [principal: string, ...hints: string[]]> = {
      accessKey: ["ecr-user", "the user ecr-user has the policy", "access key is active", "accessKeyGeneration"],
      irsa: [role, `the role ${role} has the policy`, `its trust policy names ${account}`, "OIDC provider"],
      podIdentity: [role, `the role ${role} has the policy`, `association of it with ${account}`, "agent runs"],
      kube2iam: [
        role,
        `the role ${role} has the policy`,
        "trust policy names the nodes' role",
        "kube2iam or kiam runs",
      ],
      node: ["", "the nodes' role has the policy", "instance metadata service", "hop limit of 2"],
    };
    for (const [identity, [principal, ...hints]] of Object.entries(texts)) {
      const text = accessDeniedHint(
        readConfig({
          ...helperEnvironment,
          ECR_HELPER_IDENTITY: identity,
          ECR_HELPER_PRINCIPAL: principal,
          ECR_HELPER_NAMESPACE: "tools",
          ECR_HELPER_DEPLOYMENT: "helper",
        }),
        "eu-west-1",
      );
      const limits = "no permissions boundary or service control policy denies ecr:GetAuthorizationToken";
      for (const one of [...hints, "output policyArn", limits]) assert.ok(text.includes(one), `${one} in ${text}`);
      assert.match(text, /^check that /);
    }
  });
});
