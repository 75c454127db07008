import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import { assertOneMistake, configError, mistakesOf } from "../support/config-error.ts";
import { account, configure, ownRegistry } from "../support/program.ts";

const newResource = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource, call: newResource }, "ecr-helper", "test");

const cluster = { kubeconfig: "Pulumi.yaml" };
const provider = "arn:aws:iam::123456789012:oidc-provider/oidc.example";
const nodes = "arn:aws:iam::123456789012:role/nodes";
const boundary = "arn:aws:iam::123456789012:policy/boundary";

/** The keys that each identity requires, with the cluster. */
const needs: Record<string, Record<string, string>> = {
  accessKey: cluster,
  irsa: { ...cluster, oidcIssuer: "https://oidc.example" },
  podIdentity: { eksCluster: "main" },
  kube2iam: { ...cluster, trustedPrincipals: JSON.stringify([nodes]) },
  node: cluster,
};

describe("the configuration of an identity", () => {
  it("is complete with its own keys, in every form of names and ARNs that IAM and EKS use", () => {
    const full = { path: "/builds/ci/", tags: '["team=build","cost center=a=b","empty="]' };
    for (const [identity, own] of Object.entries(needs)) {
      const permissionsBoundary = identity === "node" ? "" : "arn:aws:iam::aws:policy/PowerUserAccess";
      configure({ ...own, ...full, identity, permissionsBoundary });
      const config = readConfig(ownRegistry);
      assert.equal(config.identity.mode, identity);
      assert.deepEqual(config.tags, { team: "build", "cost center": "a=b", empty: "" });
    }
    for (const oidcIssuer of [
      "https://oidc.eks.cn-north-1.amazonaws.com.cn/id/0A1B",
      "https://10.0.0.1:6443/a-b/~c.d/",
    ])
      assert.equal(configError({ ...cluster, identity: "irsa", oidcIssuer }), "");
    const trustedPrincipals = JSON.stringify(["123456789012", nodes, `${nodes}/with/path`]);
    assert.equal(configError({ ...cluster, identity: "kube2iam", trustedPrincipals }), "");
  });

  it("has ARNs of the stack's own partition only, whichever that is", () => {
    const places = {
      aws: "us-east-1",
      "aws-cn": "cn-north-1",
      "aws-us-gov": "us-gov-west-1",
      "aws-eusc": "eusc-de-east-1",
    };
    const keys: [key: string, identity: string, what: string, arn: string, shown: (arn: string) => string][] = [
      ["permissionsBoundary", "accessKey", "a policy", boundary, (arn) => arn],
      ["permissionsBoundary", "accessKey", "a policy", "arn:aws:iam::aws:policy/ReadOnlyAccess", (arn) => arn],
      ["oidcProviderArn", "irsa", "a provider", provider, (arn) => arn],
      ["trustedPrincipals", "kube2iam", "a principal", nodes, (arn) => JSON.stringify([arn])],
    ];
    for (const [partition, region] of Object.entries(places)) {
      const own = { partition, accountId: account, region };
      for (const [key, identity, what, arn, valueOf] of keys) {
        for (const other of Object.keys(places)) {
          const value = arn.replace("arn:aws:", `arn:${other}:`);
          const expected = `${what} in the stack's partition, ${partition}: one of ${other} is unknown there`;
          assert.deepEqual(
            mistakesOf({ identity, [key]: valueOf(value) }, own),
            other === partition ? [] : [`ecr-helper:${key} = "${value}": expected ${expected}`],
          );
        }
      }
    }
  });

  it("reports what is missing", () => {
    assertOneMistake(
      { ...cluster, identity: "root" },
      'identity = "root": expected accessKey, irsa, podIdentity, kube2iam',
    );
    assertOneMistake({ ...cluster, identity: "irsa" }, 'oidcIssuer = "": expected the issuer of the cluster\'s tokens');
    assertOneMistake({ ...cluster, identity: "podIdentity" }, 'eksCluster = "": expected the name of the EKS cluster');
    assertOneMistake({ ...cluster, identity: "kube2iam" }, 'trustedPrincipals = "[]": expected the nodes\' role');
    assertOneMistake({ ...cluster, userName: "" }, 'userName = "": expected 1 to 64 letters');
    assertOneMistake({ ...needs["irsa"], identity: "irsa", roleName: "" }, 'roleName = "": expected 1 to 64 letters');
    assert.equal(configError({ eksCluster: "main", identity: "irsa" }), "", "EKS knows the issuer");
  });

  it("reports keys that only another identity uses", () => {
    const used: [key: string, value: string, by: string][] = [
      ["oidcIssuer", "https://oidc.example", "irsa"],
      ["oidcProviderArn", provider, "irsa"],
      ["createOidcProvider", "true", "irsa"],
      ["trustedPrincipals", JSON.stringify([nodes]), "kube2iam"],
    ];
    for (const [identity, own] of Object.entries(needs)) {
      for (const [key, value, by] of used.filter(([, , one]) => one !== identity)) {
        const expected = `nothing: identity ${by} alone has a use for it, and identity is ${identity}`;
        assertOneMistake({ ...own, identity, [key]: value }, `${key} = ${JSON.stringify(value)}: expected ${expected}`);
      }
    }
    assertOneMistake(
      { ...cluster, identity: "node", permissionsBoundary: boundary },
      `permissionsBoundary = "${boundary}": expected nothing: identity node makes neither a user nor a role`,
    );
  });

  it("reports contradictions", () => {
    const both = { ...cluster, identity: "irsa", oidcProviderArn: provider };
    assertOneMistake(
      { ...both, oidcIssuer: "https://oidc.example" },
      `oidcProviderArn = "${provider}": expected nothing, as oidcIssuer names the provider too`,
    );
    assertOneMistake(
      { ...both, createOidcProvider: "true" },
      'createOidcProvider = "true": expected false, as oidcProviderArn says that the provider is there',
    );
    assertOneMistake({ ...cluster, tags: '["a=1","b=2","a=3"]' }, 'tags = "a": expected each KEY once');
    const tags = JSON.stringify(Array.from({ length: 51 }, (_, index) => `key-${String(index)}=`));
    assertOneMistake({ ...cluster, tags }, "tags = [51 entries]: expected at most 50 tags");
  });

  it("reports malformed values", () => {
    const wrong: Record<string, [values: string[], expected: string]> = {
      oidcIssuer: [
        ["oidc.example", "http://oidc.example", "https://", "https://oidc.example?a=b", "https://me@oidc.example/"],
        "https://HOST[/PATH], the issuer",
      ],
      oidcProviderArn: [
        [nodes, provider.replace("123456789012", "aws"), "oidc.example", `${provider} `],
        "arn:PARTITION:iam::ACCOUNT:oidc-provider/ISSUER",
      ],
      createOidcProvider: [["yes", "1"], "true, false"],
      trustedPrincipals: [['["*"]', '["nodes"]', '["12345"]', '["arn:aws:s3:::bucket"]'], "ARNs of IAM roles or users"],
      permissionsBoundary: [[nodes, "boundary", `${boundary} x`], "arn:PARTITION:iam::ACCOUNT:policy/NAME"],
      path: [
        ["builds", "/builds", "builds/", "/a b/", `/${"a".repeat(511)}/`],
        "/ or /PATH/, with a slash at both ends",
      ],
      tags: [
        ['["team"]', '["=build"]', '["aws:team=build"]', '["team=a;b"]'],
        "KEY=VALUE, with a KEY that does not start",
      ],
      accessKeyGeneration: [["0", "-1", "1.5", "one"], "a whole number from 1"],
    };
    for (const [key, [values, expected]] of Object.entries(wrong)) {
      const identity = { trustedPrincipals: "kube2iam", accessKeyGeneration: "accessKey" }[key] ?? "irsa";
      for (const value of values) {
        const shown = value.startsWith("[") ? value.slice(1, -1) : JSON.stringify(value);
        const own = key.startsWith("oidc") ? cluster : needs[identity];
        assertOneMistake({ ...own, identity, [key]: value }, `${key} = ${shown}: expected ${expected}`);
      }
    }
  });
});
