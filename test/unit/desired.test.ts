import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readConfig } from "../../helper/config.ts";
import {
  authsOf,
  basicAuthSecret,
  pullSecret,
  serviceAccountPatch,
  withEntry,
  type ServiceAccount,
} from "../../helper/desired.ts";
import { helperEnvironment } from "../helper-environment.ts";

const [own, sameRegion, otherRegion] = [
  "111122223333.dkr.ecr.eu-west-1.amazonaws.com",
  "444455556666.dkr.ecr.eu-west-1.amazonaws.com",
  "111122223333.dkr.ecr.us-east-1.amazonaws.com",
];
const config = readConfig({
  ...helperEnvironment,
  ECR_HELPER_REGISTRIES: [own, sameRegion, otherRegion].join(","),
  ECR_HELPER_REGISTRY_HOST: "registry.example",
});
const token = (password: string, end: string): { username: string; password: string; expiresAt: number } => ({
  username: "AWS",
  password,
  expiresAt: Date.parse(end),
});
const west = token("west", "2026-11-23T18:00:00Z");
const east = token("east", "2026-11-23T12:00:00Z");
const both = new Map([
  ["eu-west-1", west],
  ["us-east-1", east],
]);
const decode = (text = ""): string => Buffer.from(text, "base64").toString();
const entry = (password: string): object => ({
  username: "AWS",
  password,
  auth: Buffer.from(`AWS:${password}`).toString("base64"),
});
const decoded = (secret: { data: Record<string, string> } | undefined): unknown =>
  JSON.parse(decode(secret?.data[".dockerconfigjson"]));

describe("the secret that builds log in with", () => {
  const secret = basicAuthSecret(config, "team", both);

  it("holds the token's user and password", () => {
    assert.equal(secret?.type, "kubernetes.io/basic-auth");
    assert.equal(decode(secret.data["username"]), "AWS");
    assert.equal(decode(secret.data["password"]), "west");
  });

  it("is annotated for Knative and Tekton with every endpoint that its password opens, and with its end", () => {
    assert.deepEqual(secret?.metadata.annotations, {
      "build.knative.dev/docker-0": "https://registry.example",
      "tekton.dev/docker-0": "https://registry.example",
      "build.knative.dev/docker-1": `https://${own}`,
      "tekton.dev/docker-1": `https://${own}`,
      "build.knative.dev/docker-2": `https://${sameRegion}`,
      "tekton.dev/docker-2": `https://${sameRegion}`,
      "ecr-helper/expires-at": "2026-11-23T18:00:00.000Z",
    });
  });

  it("is owned by the stack's cluster-scoped object and labelled as this helper's", () => {
    const { name, uid } = config.owner;
    const reference = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", name, uid };
    assert.deepEqual(secret?.metadata.ownerReferences, [reference]);
    const labels = { "app.kubernetes.io/managed-by": "ecr-helper", "app.kubernetes.io/instance": "ecr-helper-test" };
    assert.deepEqual(secret.metadata.labels, labels);
  });

  it("is not touched while its region has no token", () => {
    assert.equal(basicAuthSecret(config, "team", new Map([["us-east-1", east]])), undefined);
  });
});

describe("the secret that images are pulled with", () => {
  it("has every registry, with and without https://, and the first end of its tokens", () => {
    const secret = pullSecret(config, "team", both, {});
    const hosts = ["registry.example", own, sameRegion].flatMap((host) => [host, `https://${host}`]);
    const wanted = Object.fromEntries(hosts.map((host) => [host, entry("west")]));
    wanted[otherRegion] = wanted[`https://${otherRegion}`] = entry("east");
    assert.equal(secret?.type, "kubernetes.io/dockerconfigjson");
    assert.deepEqual(decoded(secret), { auths: wanted });
    assert.equal(secret.metadata.annotations?.["ecr-helper/expires-at"], "2026-11-23T12:00:00.000Z");
  });

  it("keeps the entries of a registry that has no token now", () => {
    const earlier = pullSecret(config, "team", both, {});
    const later = pullSecret(
      config,
      "team",
      new Map([["eu-west-1", token("new", "2026-11-24T00:00:00Z")]]),
      authsOf(earlier?.data),
    );
    const { auths } = decoded(later) as { auths: Record<string, object> };
    assert.deepEqual(auths[otherRegion], entry("east"));
    assert.deepEqual(auths[own], entry("new"));
  });

  it("keeps nothing but what is its own", () => {
    const foreign = {
      data: { ".dockerconfigjson": Buffer.from('{"auths":{"docker.io":{"auth":"x"}}}').toString("base64") },
    };
    const secret = pullSecret(config, "team", new Map([["eu-west-1", west]]), authsOf(foreign.data));
    assert.ok(!JSON.stringify(decoded(secret)).includes("docker.io"));
    assert.deepEqual(authsOf({ ".dockerconfigjson": "not a docker config" }), {});
    assert.deepEqual(authsOf(undefined), {});
  });

  it("is not touched while there is no token at all", () =>
    assert.equal(pullSecret(config, "team", new Map(), {}), undefined));

  it("does not say when it ends where ECR did not", () => {
    const unknown = { username: "AWS", password: "x", expiresAt: Number.NaN };
    assert.deepEqual(pullSecret(config, "team", new Map([["eu-west-1", unknown]]), {})?.metadata.annotations, {});
  });
});

const names = fc.array(fc.record({ name: fc.string() }));
const account = (
  secrets: { name: string }[] | undefined,
  imagePullSecrets: { name: string }[] | undefined,
): ServiceAccount => ({
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: { name: "builder-sa", namespace: "team", resourceVersion: "7" },
  ...(secrets && { secrets }),
  ...(imagePullSecrets && { imagePullSecrets }),
});

describe("a service account", () => {
  it("that lists both secrets is left alone", () => {
    const right = account([{ name: "other" }, { name: "ecr-creds" }], [{ name: "ecr-creds-pull" }]);
    assert.equal(serviceAccountPatch(config, right), undefined);
  });

  it("is extended, at the version that was read", () => {
    assert.deepEqual(serviceAccountPatch(config, account([{ name: "other" }], undefined)), {
      metadata: { resourceVersion: "7" },
      secrets: [{ name: "other" }, { name: "ecr-creds" }],
      imagePullSecrets: [{ name: "ecr-creds-pull" }],
    });
  });

  it("never loses, doubles or moves an entry of somebody else's", () => {
    fc.assert(
      fc.property(names, fc.string(), (list, name) => {
        const extended = withEntry(list, name);
        assert.deepEqual(extended.slice(0, list.length), list);
        assert.equal(
          extended.filter((one) => one.name === name).length,
          Math.max(1, list.filter((one) => one.name === name).length),
        );
        assert.equal(withEntry(extended, name), extended, "a second time changes nothing");
      }),
    );
  });

  it("is right after one patch, whatever it listed", () => {
    fc.assert(
      fc.property(
        fc.option(names, { nil: undefined }),
        fc.option(names, { nil: undefined }),
        (secrets, imagePullSecrets) => {
          const found = account(secrets, imagePullSecrets);
          const patched = { ...found, ...serviceAccountPatch(config, found), metadata: found.metadata };
          assert.equal(serviceAccountPatch(config, patched), undefined);
        },
      ),
    );
  });
});
