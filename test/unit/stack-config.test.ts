import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import { defaultConfig } from "../local/stack.ts";
import { configure, ownRegistry } from "../support/program.ts";

const newResource = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource, call: newResource }, "ecr-helper", "test");

const cluster = { kubeconfig: "Pulumi.yaml" };

function mistakesOf(overrides: Record<string, string>): string {
  configure(overrides);
  try {
    readConfig(ownRegistry);
  } catch (error) {
    assert.ok(error instanceof pulumi.RunError, "an error that Pulumi shows without a stack trace");
    return error.message;
  }
  return "";
}

describe("the stack's configuration", () => {
  it("needs nothing but a cluster", () => {
    configure(cluster);
    const config = readConfig(ownRegistry);
    assert.equal(config.repositoryName, "ecr-helper");
    assert.equal(config.forceDelete, false);
    assert.deepEqual([config.tagMutability, config.scanOnPush, config.encryption], ["MUTABLE", true, "AES256"]);
    const { pullRepositories, pushRepositories, pullThroughCache } = config;
    assert.deepEqual([pullRepositories, pushRepositories, pullThroughCache], [["*"], [], []]);
    assert.deepEqual(config.buildNamespaces, ["default"]);
    assert.deepEqual(config.identity, { mode: "accessKey", userName: "ecr-helper", generation: 1 });
    assert.deepEqual([config.path, config.permissionsBoundary, config.tags], [undefined, undefined, {}]);
    assert.equal(config.registryHost, undefined);
    assert.ok(Object.isFrozen(config));
  });

  it("takes no cluster by accident", () => {
    assert.match(mistakesOf({}), /ecr-helper:kubeconfig = "": expected one of kubeconfig, context or eksCluster/);
    assert.match(
      mistakesOf({ ...cluster, eksCluster: "main" }),
      /ecr-helper:eksCluster = "main": expected not to be set together/,
    );
    assert.match(
      mistakesOf({ kubeconfig: "no/such/file" }),
      /ecr-helper:kubeconfig = "no\/such\/file": expected the path of a file that exists/,
    );
    assert.equal(mistakesOf({ context: "somewhere" }), "");
    assert.equal(mistakesOf({ kubeconfig: '{"apiVersion":"v1","clusters":[]}' }), "");
  });

  it("reports all mistakes at once, each with key, value and remedy", () => {
    const wrong = {
      repositoryName: "Upper",
      repositoryPrincipals: '["root"]',
      forceDelete: "maybe",
      tagMutability: "immutable",
      scanOnPush: "often",
      encryption: "alias/aws/ecr",
      pullRepositories: '["Upper"]',
      pushRepositories: '["a//b"]',
      pullThroughCache: '["-a"]',
      policyName: "a b",
      userName: "a/b",
      roleName: "a/b",
      accessKeyGeneration: "0",
      namespace: "Name",
      createNamespace: "1",
      buildNamespaces: '["team_*"]',
      excludeNamespaces: '["Team"]',
      basicAuthSecret: "_",
      serviceAccount: "-",
      registries: '["docker.io"]',
      registryHost: "https://host",
      baseImage: "a b",
      platform: "windows",
      awsEndpointUrl: "vpce",
      stsEndpointUrl: "sts.example",
      permissionsBoundary: "boundary",
      path: "builds",
      tags: '["team"]',
      logFormat: "xml",
      logLevel: "all",
    };
    const message = mistakesOf({ ...cluster, ...wrong });
    for (const [key, value] of Object.entries(wrong)) {
      const shown = value.startsWith("[") ? value.slice(1, -1) : JSON.stringify(value);
      assert.ok(message.includes(`ecr-helper:${key} = ${shown}: expected `), `${key} in ${message}`);
    }
    assert.equal(message.split("\n").length, Object.keys(wrong).length + 1);
  });

  it("takes a base image by its digest", () => {
    const digest = `sha256:${"0a".repeat(32)}`;
    for (const baseImage of [
      `gcr.io/distroless/nodejs24-debian13:nonroot@${digest}`,
      `ecr-helper-base@${digest}`,
      `123456789012.dkr.ecr.eu-central-1.amazonaws.com/base/node:24@${digest}`,
    ]) {
      configure({ ...cluster, baseImage });
      assert.equal(readConfig(ownRegistry).baseImage, baseImage);
    }
    isOneMistake({ ...cluster, baseImage: "node@sha256:0a" }, 'baseImage = "node@sha256:0a": expected NAME[:TAG]');
  });

  it("takes names, patterns and a selector of namespaces", () => {
    configure({
      ...cluster,
      buildNamespaces: '["a","team-*","a"]',
      excludeNamespaces: '["team-?"]',
      namespaceSelector: "x in (a)",
    });
    const { buildNamespaces, excludeNamespaces, namespaceSelector } = readConfig(ownRegistry);
    assert.deepEqual(
      [buildNamespaces, excludeNamespaces, namespaceSelector],
      [["a", "team-*"], ["team-?"], "x in (a)"],
    );
    assert.equal(mistakesOf({ ...cluster, buildNamespaces: "[]", namespaceSelector: "team" }), "");
  });

  it("refuses rules that mean no namespace, and a selector that kubectl would refuse", () => {
    assert.match(
      mistakesOf({ ...cluster, buildNamespaces: '["a","b"]', excludeNamespaces: '["?"]' }),
      /buildNamespaces = "\[\\"a\\",\\"b\\"\]": expected one namespace at least that is not in excludeNamespaces/,
    );
    assert.match(mistakesOf({ ...cluster, buildNamespaces: '["-a"]' }), /buildNamespaces = "-a": expected names/);
    assert.match(
      mistakesOf({ ...cluster, namespaceSelector: "team=a,b c" }),
      /namespaceSelector = "team=a,b c": expected a label selector as kubectl has it, but "b c" is none of KEY, /,
    );
  });

  it("refuses the same name for both secrets, an empty list of namespaces, and a key that does not exist", () => {
    assert.match(
      mistakesOf({ ...cluster, pullSecret: "ecr-creds" }),
      /pullSecret = "ecr-creds": expected another name/,
    );
    const registries = '["111122223333.dkr.ecr.us-east-1.amazonaws.com"]';
    assert.match(
      mistakesOf({ ...cluster, registries, pullSecret: "ecr-creds-us-east-1" }),
      /pullSecret = "ecr-creds-us-east-1": expected another name: a further region's/,
    );
    assert.match(
      mistakesOf({ ...cluster, buildNamespaces: "[]" }),
      /buildNamespaces = "\[\]": expected one namespace at least/,
    );
    assert.match(mistakesOf({ ...cluster, buildNamespace: "[]" }), /ecr-helper:buildNamespace: there is no such key/);
    assert.match(mistakesOf({ ...cluster, registries: "docker.io" }), /registries = "docker.io": expected a list/);
  });

  it("refuses a stack whose name Kubernetes could not keep in a label", async () => {
    const mocks = { newResource, call: newResource };
    for (const stack of ["s".repeat(51), "stack."]) {
      await pulumi.runtime.setMocks(mocks, "ecr-helper", stack);
      assert.match(mistakesOf(cluster), new RegExp(`the stack's name "${stack}": expected 1 to 50 letters`));
    }
    await pulumi.runtime.setMocks(mocks, "ecr-helper", "s".repeat(50));
    assert.equal(mistakesOf(cluster), "");
  });

  it("names the key of any wrong value, and never fails in another way", () => {
    const keys = Object.keys(defaultConfig()).map((key) => key.replace("ecr-helper:", ""));
    fc.assert(
      fc.property(fc.constantFrom(...keys), fc.string(), (key, value) => {
        const message = mistakesOf({ ...cluster, [key]: value });
        // What may be the content of a kubeconfig is not shown.
        const shown = key === "kubeconfig" && /[\n{]/.test(value) ? "[secret]" : JSON.stringify(value);
        assert.ok(
          message === "" ||
            message.includes(`ecr-helper:${key} = ${shown}: expected `) ||
            value === "" ||
            key === "context",
          message,
        );
      }),
    );
  });
});

const provider = "arn:aws:iam::123456789012:oidc-provider/oidc.example";
const nodes = "arn:aws:iam::123456789012:role/nodes";
const boundary = "arn:aws:iam::123456789012:policy/boundary";

/** All that each identity needs beside the cluster's name. */
const needs: Record<string, Record<string, string>> = {
  accessKey: cluster,
  irsa: { ...cluster, oidcIssuer: "https://oidc.example" },
  podIdentity: { eksCluster: "main" },
  kube2iam: { ...cluster, trustedPrincipals: JSON.stringify([nodes]) },
  node: cluster,
};

function isOneMistake(overrides: Record<string, string>, told: string): void {
  const [, mistake, ...others] = mistakesOf(overrides).split("\n  ");
  assert.ok(mistake?.startsWith(`ecr-helper:${told}`), `${told} in ${String(mistake)}`);
  assert.deepEqual(others, [], told);
}

describe("the configuration of an identity", () => {
  it("is complete with the keys of its own, whatever IAM and EKS call their things", () => {
    const full = { path: "/builds/ci/", tags: '["team=build","cost center=a=b","empty="]' };
    for (const [identity, own] of Object.entries(needs)) {
      const permissionsBoundary = identity === "node" ? "" : "arn:aws-cn:iam::aws:policy/PowerUserAccess";
      configure({ ...own, ...full, identity, permissionsBoundary });
      const config = readConfig(ownRegistry);
      assert.equal(config.identity.mode, identity);
      assert.deepEqual(config.tags, { team: "build", "cost center": "a=b", empty: "" });
    }
    for (const oidcIssuer of [
      "https://oidc.eks.cn-north-1.amazonaws.com.cn/id/0A1B",
      "https://10.0.0.1:6443/a-b/~c.d/",
    ])
      assert.equal(mistakesOf({ ...cluster, identity: "irsa", oidcIssuer }), "");
    const trustedPrincipals = JSON.stringify([
      "123456789012",
      nodes.replace("aws", "aws-us-gov"),
      `${nodes}/with/path`,
    ]);
    assert.equal(mistakesOf({ ...cluster, identity: "kube2iam", trustedPrincipals }), "");
  });

  it("says what is missing", () => {
    isOneMistake(
      { ...cluster, identity: "root" },
      'identity = "root": expected accessKey, irsa, podIdentity, kube2iam',
    );
    isOneMistake({ ...cluster, identity: "irsa" }, 'oidcIssuer = "": expected the issuer of the cluster\'s tokens');
    isOneMistake({ ...cluster, identity: "podIdentity" }, 'eksCluster = "": expected the name of the EKS cluster');
    isOneMistake({ ...cluster, identity: "kube2iam" }, 'trustedPrincipals = "[]": expected the nodes\' role');
    isOneMistake({ ...cluster, userName: "" }, 'userName = "": expected 1 to 64 letters');
    isOneMistake({ ...needs["irsa"], identity: "irsa", roleName: "" }, 'roleName = "": expected 1 to 64 letters');
    assert.equal(mistakesOf({ eksCluster: "main", identity: "irsa" }), "", "EKS knows the issuer");
  });

  it("says what another identity would use", () => {
    const used: [key: string, value: string, by: string][] = [
      ["oidcIssuer", "https://oidc.example", "irsa"],
      ["oidcProviderArn", provider, "irsa"],
      ["createOidcProvider", "true", "irsa"],
      ["trustedPrincipals", JSON.stringify([nodes]), "kube2iam"],
    ];
    for (const [identity, own] of Object.entries(needs)) {
      for (const [key, value, by] of used.filter(([, , one]) => one !== identity)) {
        const told = `nothing: identity ${by} alone has a use for it, and identity is ${identity}`;
        isOneMistake({ ...own, identity, [key]: value }, `${key} = ${JSON.stringify(value)}: expected ${told}`);
      }
    }
    isOneMistake(
      { ...cluster, identity: "node", permissionsBoundary: boundary },
      `permissionsBoundary = "${boundary}": expected nothing: identity node makes neither a user nor a role`,
    );
  });

  it("says what contradicts itself", () => {
    const both = { ...cluster, identity: "irsa", oidcProviderArn: provider };
    isOneMistake(
      { ...both, oidcIssuer: "https://oidc.example" },
      `oidcProviderArn = "${provider}": expected nothing, as oidcIssuer names the provider too`,
    );
    isOneMistake(
      { ...both, createOidcProvider: "true" },
      'createOidcProvider = "true": expected false, as oidcProviderArn says that the provider is there',
    );
    isOneMistake({ ...cluster, tags: '["a=1","b=2","a=3"]' }, 'tags = "a": expected each KEY once');
    const tags = JSON.stringify(Array.from({ length: 51 }, (_, index) => `key-${String(index)}=`));
    isOneMistake({ ...cluster, tags }, "tags = [51 entries]: expected at most 50 tags");
  });

  it("says which value is malformed", () => {
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
        isOneMistake({ ...own, identity, [key]: value }, `${key} = ${shown}: expected ${expected}`);
      }
    }
  });
});
