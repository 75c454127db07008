import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import { defaultConfig } from "../local/stack.ts";
import { makeCertificate } from "../support/certificate.ts";
import { assertOneMistake, configError, mistakesOf } from "../support/config-error.ts";
import { account, configure, ownRegistry } from "../support/program.ts";

const newResource = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource, call: newResource }, "ecr-helper", "test");

const cluster = { kubeconfig: "Pulumi.yaml" };

describe("the stack's configuration", () => {
  it("requires nothing but a cluster", () => {
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
    assert.equal(config.replicas, 1);
    assert.ok(Object.isFrozen(config));
  });

  it("never uses a cluster by accident", () => {
    assert.match(configError({}), /ecr-helper:kubeconfig = "": expected one of kubeconfig, context or eksCluster/);
    assert.match(
      configError({ ...cluster, eksCluster: "main" }),
      /ecr-helper:eksCluster = "main": expected not to be set together/,
    );
    assert.match(
      configError({ kubeconfig: "no/such/file" }),
      /ecr-helper:kubeconfig = "no\/such\/file": expected the path of a file that exists/,
    );
    assert.equal(configError({ context: "somewhere" }), "");
    assert.equal(configError({ kubeconfig: '{"apiVersion":"v1","clusters":[]}' }), "");
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
      replicas: "0",
      buildNamespaces: '["team_*"]',
      excludeNamespaces: '["Team"]',
      basicAuthSecret: "_",
      serviceAccounts: '["-"]',
      serviceAccountSelector: "a in b",
      registries: '["docker.io"]',
      registryHost: "https://host",
      image: "ecr-helper:1",
      baseImage: "a b",
      platform: "windows",
      awsEndpointUrl: "vpce",
      stsEndpointUrl: "sts.example",
      proxy: "https://proxy.example:3129",
      noProxy: '["https://vpce.example"]',
      caBundle: "ca.crt",
      permissionsBoundary: "boundary",
      path: "builds",
      tags: '["team"]',
      nodeSelector: '["pool"]',
      tolerations: '["pool:Never"]',
      priorityClassName: "High",
      podLabels: '["team=a b"]',
      podAnnotations: '["a b=c"]',
      resources: '["cpu=1"]',
      runAsUser: "root",
      rolloutTimeout: "1h",
      logFormat: "xml",
      logLevel: "all",
    };
    const message = configError({ ...cluster, ...wrong });
    for (const [key, value] of Object.entries(wrong)) {
      const shown = value.startsWith("[") ? value.slice(1, -1) : JSON.stringify(value);
      assert.ok(message.includes(`ecr-helper:${key} = ${shown}: expected `), `${key} in ${message}`);
    }
    assert.equal(message.split("\n").length, Object.keys(wrong).length + 1);
  });

  it("accepts as registryHost each host of the stack's own registry and any that is not of AWS' registries", () => {
    const own = { partition: "aws", accountId: account, region: "us-east-1" };
    const forms = ["dkr.ecr.us-east-1.amazonaws.com", "dkr.ecr-fips.us-east-1.amazonaws.com"];
    const dualStack = ["dkr-ecr.us-east-1.on.aws", "dkr-ecr-fips.us-east-1.on.aws"];
    const hosts = [...forms, ...dualStack].map((form) => `${account}.${form}`);
    for (const registryHost of [...hosts, "vpce-1.dkr.ecr.us-east-1.vpce.amazonaws.com", "registry.example:5000"]) {
      assert.deepEqual(mistakesOf({ registryHost }, own), []);
    }
    const [standard = ""] = hosts;
    const others = [standard.replace(account, "444455556666"), `${account}.dkr-ecr.us-west-2.on.aws`];
    for (const registryHost of others) {
      assert.deepEqual(mistakesOf({ registryHost }, own), [
        `ecr-helper:registryHost = "${registryHost}": expected a host of the stack's own registry, such as ${standard}: ` +
          "others belong in registries",
      ]);
    }
    const [there, fips] = ["dkr.ecr", "dkr.ecr-fips"].map((form) => `${account}.${form}.eu-central-1.amazonaws.com`);
    assert.deepEqual(mistakesOf({ registryHost: String(fips) }, { ...own, region: "eu-central-1" }), [
      `ecr-helper:registryHost = "${String(fips)}": expected ${String(there)}: ECR has FIPS endpoints only in the regions of the US`,
    ]);
  });

  it("rejects a VPC endpoint of ECR where the helper needs another region, or STS", () => {
    const ecr = "https://vpce-0a1b-c2d3.api.ecr.eu-central-1.vpce.amazonaws.com";
    const sts = "https://vpce-0a1b-c2d3.sts.eu-central-1.vpce.amazonaws.com";
    const registries = [
      "444455556666.dkr.ecr.eu-west-1.amazonaws.com",
      "444455556666.dkr.ecr.eu-central-1.amazonaws.com",
    ];
    const [irsa, pushes] = [{ identity: "irsa", oidcIssuer: "https://oidc.example" }, { pushRepositories: ["app"] }];
    const noSts =
      'ecr-helper:stsEndpointUrl = "": expected https://HOST[:PORT] of STS, as awsEndpointUrl is a VPC endpoint of ECR, ' +
      "which does not serve STS";
    const oneRegion =
      `ecr-helper:awsEndpointUrl = "${ecr}": expected an endpoint that serves eu-west-1, too: a VPC endpoint serves one ` +
      "region; or leave the key out, and let ECR's own host in each region resolve to an endpoint there";
    for (const [given, mistakes] of [
      [{ awsEndpointUrl: ecr }, []],
      [{ awsEndpointUrl: ecr, registries: registries.slice(1) }, []],
      [{ awsEndpointUrl: ecr, registries }, [oneRegion]],
      [{ awsEndpointUrl: "https://aws.example", registries, ...irsa, ...pushes }, []],
      [{ awsEndpointUrl: ecr, ...irsa }, [noSts]],
      [{ awsEndpointUrl: ecr, ...pushes }, [noSts]],
      [{ awsEndpointUrl: ecr, stsEndpointUrl: sts, ...irsa, ...pushes }, []],
    ] as const) {
      assert.deepEqual(mistakesOf(given), mistakes, JSON.stringify(given));
    }
  });

  it("accepts a base image by its digest", () => {
    const digest = `sha256:${"0a".repeat(32)}`;
    for (const baseImage of [
      `gcr.io/distroless/nodejs24-debian13:nonroot@${digest}`,
      `ecr-helper-base@${digest}`,
      `123456789012.dkr.ecr.eu-central-1.amazonaws.com/base/node:24@${digest}`,
    ]) {
      configure({ ...cluster, baseImage });
      assert.deepEqual(readConfig(ownRegistry).image, { baseImage, platform: "linux/amd64" });
    }
    assertOneMistake({ ...cluster, baseImage: "node@sha256:0a" }, 'baseImage = "node@sha256:0a": expected NAME[:TAG]');
  });

  it("takes one to five replicas", () => {
    for (const replicas of ["1", "2", "5"]) {
      configure({ ...cluster, replicas });
      assert.equal(readConfig(ownRegistry).replicas, Number(replicas));
    }
    for (const replicas of ["0", "6", "-1", "1.5", "02", "two", " 2"]) {
      const expected = `replicas = "${replicas}": expected a whole number from 1 to 5: one works, the others stand by`;
      assertOneMistake({ ...cluster, replicas }, expected);
    }
  });

  it("accepts names and patterns of namespaces, and a selector", () => {
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
    assert.equal(configError({ ...cluster, buildNamespaces: "[]", namespaceSelector: "team" }), "");
  });

  it("rejects rules that match no namespace, and a selector that kubectl would reject", () => {
    assert.match(
      configError({ ...cluster, buildNamespaces: '["a","b"]', excludeNamespaces: '["?"]' }),
      /buildNamespaces = "\[\\"a\\",\\"b\\"\]": expected one namespace at least that is not in excludeNamespaces/,
    );
    assert.match(configError({ ...cluster, buildNamespaces: '["-a"]' }), /buildNamespaces = "-a": expected names/);
    assert.match(
      configError({ ...cluster, namespaceSelector: "team=a,b c" }),
      /namespaceSelector = "team=a,b c": expected a label selector as kubectl has it, but "b c" is none of KEY, /,
    );
  });

  it("rejects one name for both secrets, an empty list of namespaces, and an unknown key", () => {
    assert.match(
      configError({ ...cluster, pullSecret: "ecr-creds" }),
      /pullSecret = "ecr-creds": expected another name/,
    );
    const registries = '["111122223333.dkr.ecr.us-east-1.amazonaws.com"]';
    assert.match(
      configError({ ...cluster, registries, pullSecret: "ecr-creds-us-east-1" }),
      /pullSecret = "ecr-creds-us-east-1": expected another name: a further login/,
    );
    assert.match(
      configError({ ...cluster, buildNamespaces: "[]" }),
      /buildNamespaces = "\[\]": expected one namespace at least/,
    );
    assert.match(configError({ ...cluster, buildNamespace: "[]" }), /ecr-helper:buildNamespace: there is no such key/);
    assert.match(configError({ ...cluster, registries: "docker.io" }), /registries = "docker.io": expected a list/);
  });

  it("takes a proxy without user and password, and hosts that it is not asked for", () => {
    configure({ ...cluster, proxy: "http://10.0.0.1:3128", noProxy: '["*.vpce.example","10.0.0.2","*.vpce.example"]' });
    const { proxy, noProxy } = readConfig(ownRegistry);
    assert.deepEqual([proxy, noProxy], ["http://10.0.0.1:3128", ["*.vpce.example", "10.0.0.2"]]);
    const withoutPassword = "proxy = [secret]: expected http://HOST[:PORT], without user and password: ";
    for (const login of ["user:hunter2", "hunter2", ":hunter2"]) {
      assertOneMistake({ ...cluster, proxy: `http://${login}@proxy.example:3128` }, withoutPassword);
    }
    for (const wrong of [
      "proxy.example:3128",
      "socks5://proxy.example",
      "http://proxy.example:99999",
      "http://10.0.1",
    ]) {
      assertOneMistake({ ...cluster, proxy: wrong }, `proxy = "${wrong}": expected http://HOST[:PORT]`);
    }
    const proxied = { ...cluster, proxy: "http://proxy.example" };
    for (const wrong of ["*", ".example.com", "vpce.example:443", "10.0.0.0/8", "a,b"]) {
      assertOneMistake({ ...proxied, noProxy: JSON.stringify([wrong]) }, `noProxy = "${wrong}": expected hosts, `);
    }
    assertOneMistake({ ...cluster, noProxy: '["a"]' }, 'noProxy = "[\\"a\\"]": expected nothing: proxy is not set');
  });

  it("takes certificates or the key of a ConfigMap, and never shows a private key", async () => {
    const { cert, key } = await makeCertificate("proxy.example");
    const read = (caBundle: string): unknown => {
      configure({ ...cluster, caBundle });
      return readConfig(ownRegistry).caBundle;
    };
    assert.deepEqual(read(`# Proxy\n${cert}\n# Isolated region\n${cert}`), { pem: cert + cert });
    assert.deepEqual(read("trusted-ca/ca-bundle.crt"), { configMap: "trusted-ca", key: "ca-bundle.crt" });
    const wrong = [
      cert.replace(/\n(.{8})/, "\nAAAAAAAA"),
      cert.slice(0, -30),
      "Trusted/ca.crt",
      "a/b/c",
      "a/..",
      "a/.",
    ];
    for (const caBundle of wrong) {
      assertOneMistake(
        { ...cluster, caBundle },
        `caBundle = ${JSON.stringify(caBundle)}: expected certificates in PEM`,
      );
    }
    assert.match(
      configError({ ...cluster, caBundle: cert.repeat(2000) }),
      /caBundle = .*: expected .* of 1 MB at most/,
    );
    for (const caBundle of [key, `${cert}${key}`]) assertOneMistake({ ...cluster, caBundle }, "caBundle = [secret]: ");
  });

  it("rejects a stack name that is not valid in a Kubernetes label", async () => {
    const mocks = { newResource, call: newResource };
    for (const stack of ["s".repeat(51), "stack."]) {
      await pulumi.runtime.setMocks(mocks, "ecr-helper", stack);
      assert.match(configError(cluster), new RegExp(`the stack's name "${stack}": expected 1 to 50 letters`));
    }
    await pulumi.runtime.setMocks(mocks, "ecr-helper", "s".repeat(50));
    assert.equal(configError(cluster), "");
  });

  it("reports any invalid value by its key, and never fails in another way", () => {
    const keys = Object.keys(defaultConfig()).map((key) => key.replace("ecr-helper:", ""));
    fc.assert(
      fc.property(fc.constantFrom(...keys), fc.string(), (key, value) => {
        const message = configError({ ...cluster, [key]: value });
        // A value that may be the content of a kubeconfig, or have a password, is not shown.
        const isHidden = (key === "kubeconfig" && /[\n{]/.test(value)) || (key === "proxy" && value.includes("@"));
        const shown = isHidden ? "[secret]" : JSON.stringify(value);
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
