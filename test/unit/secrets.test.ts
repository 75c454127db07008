import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readConfig } from "../../helper/config/helper-config.ts";
import { desiredSecrets, secretsOf } from "../../helper/resources/secrets.ts";
import type { Secret } from "../../helper/resources/types.ts";
import type { AuthorizationToken, Tokens } from "../../helper/ecr/token.ts";
import { decodeTokens } from "../../helper/resources/token-annotation.ts";
import { exampleOwners, exampleUid } from "../support/owners.ts";
import { helperEnvironment } from "../support/helper-environment.ts";

const [own, sameRegion, otherRegion] = [
  "111122223333.dkr.ecr.eu-west-1.amazonaws.com",
  "444455556666.dkr.ecr.eu-west-1.amazonaws.com",
  "111122223333.dkr.ecr.us-east-1.amazonaws.com",
];
const env = {
  ...helperEnvironment,
  AWS_ACCESS_KEY_ID: "AKIAEXAMPLE",
  ECR_HELPER_REGISTRIES: [own, sameRegion, otherRegion].join(","),
  ECR_HELPER_REGISTRY_HOST: "registry.example",
};
const config = readConfig(env);
const token = (password: string, end: string): AuthorizationToken => ({
  username: "AWS",
  password,
  issuedAt: Date.parse("2026-11-23T06:00:00Z"),
  expiresAt: Date.parse(end),
});
const west = token("west", "2026-11-23T18:00:00Z");
const east = token("east", "2026-11-23T12:00:00Z");
const both: Tokens = new Map([
  ["us-east-1", east],
  ["eu-west-1", west],
]);
const onlyWest: Tokens = new Map([["eu-west-1", west]]);
const decode = (text = ""): string => Buffer.from(text, "base64").toString();
const secret = (name: string, tokens: Tokens = both): Secret | undefined =>
  secretsOf(config, tokens).find(({ metadata }) => metadata.name === name);
const authsOf = (found: Secret | undefined): Record<string, object> =>
  (JSON.parse(decode(found?.data[".dockerconfigjson"])) as { auths: Record<string, object> }).auths;

/** The first secret, as it is written, and the body of a write. */
const [first = assert.fail()] = desiredSecrets(config, both, exampleOwners(config));
interface Body extends Omit<Secret, "metadata"> {
  metadata: Secret["metadata"] & { uid?: string; resourceVersion?: string };
}

/** The annotations for Knative and Tekton. */
const endpoints = (found: Secret | undefined): Record<string, string> =>
  Object.fromEntries(
    Object.entries(found?.metadata.annotations ?? {}).filter(([key]) => !key.startsWith("ecr-helper/")),
  );

describe("the secrets with which builds log in", () => {
  it("have the token of one region each, because a token is valid in no other", () => {
    for (const [name, password] of [
      ["ecr-creds", "west"],
      ["ecr-creds-us-east-1", "east"],
    ] as const) {
      const found = secret(name);
      assert.equal(found?.type, "kubernetes.io/basic-auth");
      assert.equal(decode(found.data["username"]), "AWS");
      assert.equal(decode(found.data["password"]), password);
    }
  });

  it("are annotated for Knative and Tekton with all registries of their region, and with none of another", () => {
    assert.deepEqual(endpoints(secret("ecr-creds")), {
      "build.knative.dev/docker-0": "https://registry.example",
      "tekton.dev/docker-0": "https://registry.example",
      "build.knative.dev/docker-1": `https://${own}`,
      "tekton.dev/docker-1": `https://${own}`,
      "build.knative.dev/docker-2": `https://${sameRegion}`,
      "tekton.dev/docker-2": `https://${sameRegion}`,
    });
    assert.deepEqual(endpoints(secret("ecr-creds-us-east-1")), {
      "build.knative.dev/docker-0": `https://${otherRegion}`,
      "tekton.dev/docker-0": `https://${otherRegion}`,
    });
  });

  it("are for each host that is named, once, with the one token of its region, and for no other host", () => {
    const [plain, dualStack] = ["dkr.ecr.us-east-1.amazonaws.com", "dkr-ecr.us-east-1.on.aws"];
    const hosts = [plain, "dkr.ecr-fips.us-east-1.amazonaws.com", dualStack].map((form) => `111122223333.${form}`);
    const [, , ECR_HELPER_REGISTRY_HOST = ""] = hosts;
    const variants = { ECR_HELPER_REGISTRIES: hosts.join(","), ECR_HELPER_REGISTRY_HOST };
    const [login, pulls, ...more] = secretsOf(readConfig({ ...env, ...variants }), both);
    assert.deepEqual(more, []);
    const [first = "", second = "", third = ""] = hosts;
    const ordered = [third, first, second];
    assert.deepEqual(
      Object.entries(endpoints(login)).filter(([key]) => key.startsWith("tekton.dev/")),
      ordered.map((host, index) => [`tekton.dev/docker-${String(index)}`, `https://${host}`]),
    );
    assert.equal(decode(login?.data["password"]), "east");
    assert.deepEqual(
      Object.keys(authsOf(pulls)),
      ordered.flatMap((host) => [host, `https://${host}`]),
    );
  });

  it("say when they expire and when they were refreshed", () => {
    const { annotations } = secret("ecr-creds")?.metadata ?? {};
    assert.equal(annotations?.["ecr-helper/expires-at"], "2026-11-23T18:00:00.000Z");
    assert.equal(annotations["ecr-helper/refreshed-at"], "2026-11-23T06:00:00.000Z");
  });

  it("are owned by the stack's two cluster-scoped objects and labelled as this helper's", () => {
    const role = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole" };
    const references = [
      { ...role, name: "ecr-helper-test", uid: exampleUid(0) },
      { ...role, name: "ecr-helper-test-owner", uid: exampleUid(1) },
    ];
    const labels = { "app.kubernetes.io/managed-by": "ecr-helper", "app.kubernetes.io/instance": "ecr-helper-test" };
    for (const { toApply } of desiredSecrets(config, both, exampleOwners(config))) {
      const { metadata } = JSON.parse(toApply()) as Secret;
      assert.deepEqual(metadata.ownerReferences, references);
      assert.deepEqual(metadata.labels, labels);
    }
  });

  it("are left out when they have no token", () => {
    assert.equal(secret("ecr-creds-us-east-1", onlyWest), undefined);
    assert.deepEqual(secretsOf(config, new Map()), []);
  });
});

describe("the secret with which images are pulled", () => {
  it("has every registry, with and without https://, and the expiry of the token that expires first", () => {
    const found = secret("ecr-creds-pull");
    const entry = (password: string): object => ({ auth: Buffer.from(`AWS:${password}`).toString("base64") });
    const hosts = ["registry.example", own, sameRegion].flatMap((host) => [host, `https://${host}`]);
    const wanted = Object.fromEntries(hosts.map((host) => [host, entry("west")]));
    wanted[otherRegion] = wanted[`https://${otherRegion}`] = entry("east");
    assert.equal(found?.type, "kubernetes.io/dockerconfigjson");
    assert.deepEqual(authsOf(found), wanted);
    assert.equal(found.metadata.annotations?.["ecr-helper/expires-at"], "2026-11-23T12:00:00.000Z");
  });

  it("lets a restarted helper restore the tokens with their times", () => {
    const found = secret("ecr-creds-pull");
    assert.ok(found);
    assert.deepEqual(decodeTokens(config, found), new Map([...both].reverse()));
  });

  it("lets a helper with another AWS identity restore them as due: they may have been revoked with the old key", () => {
    const found = secret("ecr-creds-pull");
    assert.ok(found);
    const tokens = decodeTokens(readConfig({ ...env, AWS_ACCESS_KEY_ID: "AKIANEW" }), found);
    assert.equal(tokens.get("eu-west-1")?.password, "west");
    assert.equal(tokens.get("eu-west-1")?.issuedAt, 0);
  });

  it("yields no tokens when someone else made it, or when its content is invalid", () => {
    const found = secret("ecr-creds-pull");
    assert.ok(found);
    const foreign = { ...found, metadata: { ...found.metadata, labels: {} } };
    assert.equal(decodeTokens(config, foreign).size, 0);
    const half = JSON.stringify({ auths: { [own]: { auth: Buffer.from("no colon").toString("base64") } } });
    for (const text of ["", "no docker config", "{}", '{"auths":{"docker.io":{"auth":"x"}}}', half]) {
      const data = { ".dockerconfigjson": Buffer.from(text).toString("base64") };
      assert.equal(decodeTokens(config, { ...found, data }).size, 0);
    }
    const metadata = { ...found.metadata, annotations: { "ecr-helper/tokens": "not JSON" } };
    assert.equal(decodeTokens(config, { ...found, metadata }).size, 0);
  });

  it("keeps an unknown expiry unknown", () => {
    const endless = { ...west, expiresAt: Number.NaN };
    const found = secret("ecr-creds-pull", new Map([["eu-west-1", endless]]));
    assert.equal(found?.metadata.annotations?.["ecr-helper/expires-at"], "unknown");
    assert.deepEqual(decodeTokens(config, found).get("eu-west-1"), endless);
  });
});

describe("a secret's revision", () => {
  const revisions = (tokens: Tokens, from = config, owners = exampleOwners(config)): string[] =>
    desiredSecrets(from, tokens, owners).map(({ revision }) => revision);

  it("is the same for the same content, in whatever order the tokens are given", () => {
    assert.deepEqual(revisions(both), revisions(new Map([...both].reverse())));
  });

  it("changes with the tokens and the registries, and not with the owners", () => {
    assert.deepEqual(revisions(both, config, []), revisions(both));
    const alias = readConfig({ ...env, ECR_HELPER_REGISTRY_HOST: "other.example" });
    const all = [
      revisions(both),
      revisions(both, alias),
      revisions(new Map([...both, ["eu-west-1", { ...west, password: "x" }]])),
    ];
    assert.equal(new Set(all.map(([first]) => first)).size, all.length);
  });

  it("is part of the JSON to apply, which can be limited to one object as it was seen", () => {
    const { metadata } = JSON.parse(first.toApply()) as Body;
    assert.equal(metadata.annotations?.["ecr-helper/revision"], first.revision);
    const limited = JSON.parse(first.toApply({ uid: "the-uid", version: 7 })) as Body;
    assert.deepEqual(limited.metadata, { uid: "the-uid", resourceVersion: "7", ...metadata });
  });
});

describe("a secret that is written again", () => {
  it("is patched without what was written before, and without owners that are lost", () => {
    const removal = JSON.stringify({ metadata: { annotations: { "tekton.dev/docker-9": null } }, data: { old: null } });
    const owners = [exampleUid(0), exampleUid(7)].join();
    const { metadata, data } = JSON.parse(first.toPatch({ uid: "", version: 7, owners, removal })) as Body;
    const applied = JSON.parse(first.toApply()) as Body;
    const { ownerReferences = [], annotations, labels } = applied.metadata;
    assert.deepEqual(metadata, {
      resourceVersion: "7",
      labels,
      annotations: { "tekton.dev/docker-9": null, ...annotations },
      ownerReferences: [...ownerReferences, { $patch: "delete", uid: exampleUid(7) }],
    });
    assert.deepEqual(data, { old: null, ...applied.data });
  });
});
