import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { cluster } from "../support/example-stack.ts";
import { eks, home } from "../support/expected-identities.ts";
import {
  account,
  failedCall,
  issuer,
  oidcProvider,
  runProgram,
  type Answers,
  type Registered,
} from "../support/program.ts";

const getCluster = "aws:eks/getCluster:getCluster";
const getProvider = "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider";
const labelOf = ({ type, name }: Registered): string => `${type.split(":").at(-1) ?? ""} ${name}`;

describe("a lookup before any change", () => {
  const notFound = (): never => {
    throw failedCall("ResourceNotFoundException");
  };
  const clientIdLists = ["kubernetes", "other"];
  const irsa = { ...cluster, identity: "irsa" };
  const oidcProviderArn = `arn:aws:iam::${account}:oidc-provider/gone.example`;
  const unknown = "expected an OIDC provider that IAM has in this account; createOidcProvider = true makes";
  const cases: [what: string, config: Record<string, string>, answers: Answers, message: string[]][] = [
    [
      "a missing EKS cluster",
      { ...eks, identity: "podIdentity" },
      { [getCluster]: notFound },
      ['eksCluster = "main": expected the name of an EKS cluster that', "aws:region", "ResourceNotFoundException"],
    ],
    [
      "an EKS cluster's issuer that IAM does not know",
      { ...eks, identity: "irsa" },
      { [getProvider]: notFound },
      [`oidcIssuer = "${issuer}": ${unknown}`, "ResourceNotFoundException"],
    ],
    [
      "an issuer that IAM does not know",
      { ...irsa, oidcIssuer: "https://gone.example" },
      {},
      [`oidcIssuer = "https://gone.example": ${unknown}`],
    ],
    [
      "a missing OIDC provider",
      { ...irsa, oidcProviderArn },
      {},
      [`oidcProviderArn = "${oidcProviderArn}": ${unknown}`],
    ],
    [
      "an OIDC provider without the audience of AWS",
      { ...irsa, oidcProviderArn },
      { [getProvider]: () => ({ ...oidcProvider(home), clientIdLists }) },
      [
        `oidcProviderArn = "${oidcProviderArn}": expected`,
        "audience sts.amazonaws.com; this one has kubernetes, other",
      ],
    ],
  ];
  for (const [what, config, answers, expected] of cases) {
    it(`reports ${what} in one error`, async () => {
      const resources: Registered[] = [];
      await assert.rejects(runProgram(config, { answers, resources }), (error: unknown) => {
        assert.ok(error instanceof pulumi.RunError, "an error that Pulumi shows without a stack trace");
        for (const text of [...expected, "Nothing was changed"]) assert.ok(error.message.includes(text), error.message);
        return error.message.startsWith("ecr-helper:");
      });
      assert.deepEqual(resources.map(labelOf), ["Stack ecr-helper-test"]);
    });
  }
});
