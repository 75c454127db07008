import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readConfig } from "../../helper/config/helper-config.ts";
import { helperPort } from "../../helper/shared/environment.ts";
import { parseRegistryHost } from "../../helper/shared/names.ts";
import { hostOfRegistry, registryOfHost } from "../../infra/registry.ts";
import { regionsOfSdk } from "../support/sdk-regions.ts";
import { helperEnvironment } from "../support/helper-environment.ts";

describe("the helper's configuration", () => {
  it("is read from the environment that the stack gives it", () => {
    const config = readConfig({
      ...helperEnvironment,
      ECR_HELPER_REGISTRIES:
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com,111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu",
      ECR_HELPER_BUILD_NAMESPACES: "a,b,a",
      ECR_HELPER_REGISTRY_HOST: "127.0.0.1:5000",
    });
    assert.deepEqual(config.registries, [
      { host: "111122223333.dkr.ecr.eu-west-1.amazonaws.com", region: "eu-west-1", role: undefined },
      { host: "111122223333.dkr.ecr.eusc-de-east-1.amazonaws.eu", region: "eusc-de-east-1", role: undefined },
    ]);
    assert.deepEqual(config.buildNamespaces, ["a", "b"]);
    assert.equal(config.registryHost, "127.0.0.1:5000");
    assert.equal(config.pullSecret, "ecr-creds-pull");
    assert.ok(Object.isFrozen(config));
  });

  it("has every region of AWS, whichever of its four hosts a registry is named by", async () => {
    const regions = await regionsOfSdk();
    assert.ok(regions.length > 40, "all that the SDK knows");
    for (const { region, partition } of regions) {
      for (const useFipsEndpoint of [false, true]) {
        for (const useDualstackEndpoint of [false, true]) {
          const registry = { accountId: "111122223333", region };
          const host = hostOfRegistry(registry, { useFipsEndpoint, useDualstackEndpoint });
          assert.deepEqual(parseRegistryHost(host), { ...registry, useFipsEndpoint, useDualstackEndpoint }, host);
          assert.deepEqual(registryOfHost(host), { ...registry, partition });
          assert.deepEqual(readConfig({ ...helperEnvironment, ECR_HELPER_REGISTRIES: host }).registries, [
            { host, region, role: undefined },
          ]);
        }
      }
    }
  });

  it("is read from every variable that the stack sets, and from no other ECR_HELPER_ variable", () => {
    const read = new Set<string>();
    const env: Record<string, string> = { ...helperEnvironment };
    readConfig(new Proxy(env, { get: (values, name) => (read.add(String(name)), values[String(name)]) }));
    const own = [...read].filter((name) => name.startsWith("ECR_HELPER_"));
    assert.deepEqual(own.sort(), Object.keys(helperEnvironment).sort());
  });

  it("listens on the port that the image exposes", () => {
    assert.match(readFileSync("helper/Dockerfile", "utf8"), new RegExp(`^EXPOSE ${String(helperPort)}$`, "m"));
  });

  it("has a fingerprint of its AWS identity that changes with the mode, the principal and the access key", () => {
    const role = "arn:aws:iam::123456789012:role/ecr-helper";
    const environments = [
      {},
      { AWS_ACCESS_KEY_ID: "AKIAONE" },
      { AWS_ACCESS_KEY_ID: "AKIATWO" },
      { ECR_HELPER_PRINCIPAL: "another-user" },
      { ECR_HELPER_IDENTITY: "irsa", ECR_HELPER_PRINCIPAL: role },
      { ECR_HELPER_IDENTITY: "podIdentity", ECR_HELPER_PRINCIPAL: role },
      { ECR_HELPER_IDENTITY: "podIdentity", ECR_HELPER_PRINCIPAL: `${role}-2` },
      { ECR_HELPER_IDENTITY: "node", ECR_HELPER_PRINCIPAL: "" },
    ];
    const read = (): ReturnType<typeof readConfig>[] =>
      environments.map((one) => readConfig({ ...helperEnvironment, ...one }));
    const fingerprints = read().map(({ fingerprint }) => fingerprint);
    assert.equal(new Set(fingerprints).size, environments.length);
    assert.deepEqual(
      read().map(({ fingerprint }) => fingerprint),
      fingerprints,
      "the same after a restart",
    );
    for (const one of fingerprints) assert.match(one, /^[0-9a-f]{16}$/, "a hash, not the key id");
    const [accessKey, , , , irsa] = read();
    assert.deepEqual([accessKey?.identity, accessKey?.principal], ["accessKey", "ecr-helper"]);
    assert.deepEqual([irsa?.identity, irsa?.principal], ["irsa", role]);
  });

  it("reports every mistake at once: the variable, its value and what is expected", () => {
    assert.throws(
      () =>
        readConfig({
          ...helperEnvironment,
          ECR_HELPER_REGISTRIES: "docker.io",
          ECR_HELPER_PORT: "99999",
          ECR_HELPER_IDENTITY: "root",
          ECR_HELPER_POD: undefined,
        }),
      (error: Error) => {
        assert.match(
          error.message,
          /ECR_HELPER_REGISTRIES="docker.io": expected hosts ACCOUNT.dkr.ecr.REGION.SUFFIX or its/,
        );
        assert.match(error.message, /ECR_HELPER_PORT="99999": expected a port/);
        assert.match(
          error.message,
          /ECR_HELPER_IDENTITY="root": expected accessKey, irsa, podIdentity, kube2iam, node/,
        );
        assert.match(error.message, /ECR_HELPER_POD="": expected the helper's own pod/);
        return true;
      },
    );
  });

  it("has further secrets, whose definitions are complete and valid, with names and registries of their own", () => {
    const right = {
      name: "one",
      type: "Opaque",
      labels: { team: "a" },
      annotations: { at: "${host}" },
      namespaces: ["*"],
      registry: "",
      login: "pull",
      data: { a: "${auth}" },
    };
    const read = (...some: readonly unknown[]): readonly unknown[] =>
      readConfig({ ...helperEnvironment, ECR_HELPER_SECRETS: JSON.stringify(some) }).furtherSecrets;
    const second = { ...right, name: "two", registry: "111122223333.dkr.ecr.eu-west-1.amazonaws.com", login: "push" };
    assert.deepEqual(read(right, second), [right, second]);
    assert.deepEqual(readConfig(helperEnvironment).furtherSecrets, []);
    const wrong = [
      { name: "A" },
      { name: "ecr-creds" },
      { name: "ecr-creds-pull" },
      { type: "kubernetes.io/service-account-token" },
      { type: "kubernetes.io/basic-auth" },
      { type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": "${auth}" } },
      { labels: { "app.kubernetes.io/managed-by": "x" } },
      { labels: { a: "${host}" } },
      { annotations: { "ecr-helper/revision": "x" } },
      { annotations: { a: "${auth}" } },
      { annotations: [] },
      { namespaces: [] },
      { namespaces: ["A"] },
      { namespaces: "*" },
      { registry: "docker.io" },
      { login: "both" },
      { data: { "a b": "" } },
      { data: { a: "${pass}" } },
      { data: { a: 1 } },
      { data: undefined },
      { more: "" },
    ];
    for (const one of wrong)
      assert.throws(() => read({ ...right, ...one }), /ECR_HELPER_SECRETS=.*: expected the JSON of further secrets/);
    for (const some of [[right, right], [1], [null], [[]]]) assert.throws(() => read(...some), /ECR_HELPER_SECRETS=/);
  });

  it("is read, or refused with the name of the variable, whatever its value", () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(helperEnvironment)), fc.string(), (key, value) => {
        try {
          readConfig({ ...helperEnvironment, [key]: value });
        } catch (error) {
          assert.ok(error instanceof Error && error.message.includes(`${key}=${JSON.stringify(value)}: expected `));
        }
      }),
    );
  });
});
