import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config.ts";
import { defaultConfig } from "../local/stack.ts";
import { configure } from "../program.ts";

const newResource = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource, call: newResource }, "ecr-helper", "test");

const cluster = { kubeconfig: "Pulumi.yaml" };

function mistakesOf(overrides: Record<string, string>): string {
  configure(overrides);
  try {
    readConfig();
  } catch (error) {
    assert.ok(error instanceof pulumi.RunError, "an error that Pulumi shows without a stack trace");
    return error.message;
  }
  return "";
}

describe("the stack's configuration", () => {
  it("needs nothing but a cluster", () => {
    configure(cluster);
    const config = readConfig();
    assert.equal(config.repositoryName, "ecr-helper");
    assert.equal(config.forceDelete, false);
    assert.deepEqual(config.buildNamespaces, ["default"]);
    assert.equal(config.accessKeyGeneration, 1);
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

  it("refuses what this version does not make, and says so", () => {
    for (const identity of ["irsa", "podIdentity", "kube2iam", "node"]) {
      assert.match(
        mistakesOf({ ...cluster, identity }),
        new RegExp(`identity = "${identity}": expected accessKey, the only identity`),
      );
    }
    assert.match(mistakesOf({ ...cluster, identity: "root" }), /identity = "root": expected accessKey, irsa/);
  });

  it("takes names, patterns and a selector of namespaces", () => {
    configure({
      ...cluster,
      buildNamespaces: '["a","team-*","a"]',
      excludeNamespaces: '["team-?"]',
      namespaceSelector: "x in (a)",
    });
    const { buildNamespaces, excludeNamespaces, namespaceSelector } = readConfig();
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
        assert.ok(
          message === "" ||
            message.includes(`ecr-helper:${key} = ${JSON.stringify(value)}: expected `) ||
            value === "" ||
            key === "context",
          message,
        );
      }),
    );
  });
});
