import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import type { AuthorizationToken, Tokens } from "../../helper/ecr/token.ts";
import { exampleSecrets, secretsOf } from "../../helper/resources/secrets.ts";
import type { Secret } from "../../helper/resources/types.ts";
import type { SecretDefinition } from "../../helper/shared/secret-definition.ts";
import { placeholders, publicPlaceholders } from "../../helper/shared/secret-template.ts";
import { formNames, formsFor } from "../../infra/config/secret-forms.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { secretDefinition } from "../support/secret-definition.ts";

const [own, otherRegion, otherAccount] = [
  "111122223333.dkr.ecr.eu-west-1.amazonaws.com",
  "111122223333.dkr.ecr.us-east-1.amazonaws.com",
  "444455556666.dkr.ecr.eu-west-1.amazonaws.com",
];
const configOf = (secrets: readonly SecretDefinition[], env: Record<string, string> = {}): HelperConfig =>
  readConfig({
    ...helperEnvironment,
    AWS_ACCESS_KEY_ID: "AKIAEXAMPLE",
    ECR_HELPER_REGISTRIES: [own, otherRegion, otherAccount].join(","),
    ECR_HELPER_SECRETS: JSON.stringify(secrets),
    ...env,
  });
const token = (password: string, hours = 12): AuthorizationToken => ({
  username: "AWS",
  password,
  issuedAt: Date.parse("2026-11-23T06:00:00Z"),
  expiresAt: Date.parse("2026-11-23T06:00:00Z") + hours * 3_600_000,
});
const tokens: Tokens = new Map([
  ["eu-west-1", token("west")],
  ["us-east-1", token("east", 6)],
]);
const pushTokens: Tokens = new Map([
  ...tokens,
  ["eu-west-1 (push)", token("west-push")],
  ["us-east-1 (push)", token("east-push")],
]);
const pushing = { ECR_HELPER_PUSH_ROLE: "arn:aws:iam::111122223333:role/push" };

const decode = (text = ""): string => Buffer.from(text, "base64").toString();
const secretOf = (
  more: Partial<SecretDefinition>,
  from = tokens,
  env: Record<string, string> = {},
): Secret | undefined =>
  secretsOf(configOf([secretDefinition(more)], env), from).find(({ metadata }) => metadata.name === "one");
const dataOf = (secret: Secret | undefined): Record<string, string> =>
  Object.fromEntries(Object.entries(secret?.data ?? {}).map(([key, value]) => [key, decode(value)]));
const all = Object.fromEntries(placeholders.map((name) => [name, `\${${name}}`]));

describe("a further secret", () => {
  it("has the login, the host, the region and the account of its registry", () => {
    for (const [registry, env, host, password] of [
      ["", {}, own, "west"],
      [own, {}, own, "west"],
      [otherRegion, {}, otherRegion, "east"],
      [otherAccount, {}, otherAccount, "west"],
      ["", { ECR_HELPER_REGISTRY_HOST: "registry.example:5000" }, "registry.example:5000", "west"],
      [own, { ECR_HELPER_REGISTRY_HOST: "registry.example:5000" }, own, "west"],
    ] as const) {
      const { dockerconfig, ...rest } = dataOf(secretOf({ registry, data: all }, tokens, env));
      assert.deepEqual(rest, {
        username: "AWS",
        password,
        auth: Buffer.from(`AWS:${password}`).toString("base64"),
        host,
        url: `https://${host}`,
        region: host === otherRegion ? "us-east-1" : "eu-west-1",
        account: host === otherAccount ? "444455556666" : "111122223333",
      });
      const pull = secretsOf(configOf([], env), tokens).find(({ metadata }) => metadata.name === "ecr-creds-pull");
      assert.equal(dockerconfig, decode(pull?.data[".dockerconfigjson"]));
    }
  });

  it("has its labels and annotations beside the helper's, with the times of the tokens that are in it", () => {
    const labels = { "example.com/a": "b" };
    const annotations = { "example.com/at": "${url} ${region} ${account}" };
    const metadataOf = (data: Record<string, string>): Record<string, string> =>
      secretOf({ labels, annotations, data, registry: own })?.metadata.annotations ?? {};
    const { metadata } = secretOf({ labels, annotations, data: { a: "" } }) ?? assert.fail();
    assert.deepEqual(metadata.labels, {
      "example.com/a": "b",
      "app.kubernetes.io/managed-by": "ecr-helper",
      "app.kubernetes.io/instance": "ecr-helper-test",
    });
    assert.equal(metadataOf({ a: "" })["example.com/at"], `https://${own} eu-west-1 111122223333`);
    assert.equal(metadataOf({ a: "${auth}" })["ecr-helper/expires-at"], "2026-11-23T18:00:00.000Z");
    assert.equal(metadataOf({ a: "${dockerconfig}" })["ecr-helper/expires-at"], "2026-11-23T12:00:00.000Z");
    assert.equal(metadataOf({ a: "" })["ecr-helper/refreshed-at"], "2026-11-23T06:00:00.000Z");
  });

  it("has the login of builds if it says so, which is the one for pulls where nothing is pushed", () => {
    const data = { password: "${password}", config: "${dockerconfig}" };
    const passwords = (login: "pull" | "push", env: Record<string, string>): unknown[] => {
      const { password, config = "" } = dataOf(secretOf({ login, data }, pushTokens, env));
      const { auths } = JSON.parse(config) as { auths: Record<string, { auth: string }> };
      return [password, decode(auths[own]?.auth), decode(auths[otherRegion]?.auth)];
    };
    assert.deepEqual(passwords("pull", pushing), ["west", "AWS:west", "AWS:east"]);
    assert.deepEqual(passwords("push", pushing), ["west-push", "AWS:west-push", "AWS:east-push"]);
    assert.deepEqual(passwords("push", {}), ["west", "AWS:west", "AWS:east"]);
  });

  it("is left out where its token is missing, and with the docker config alone where there is none", () => {
    const east: Tokens = new Map([["us-east-1", token("east")]]);
    for (const name of ["username", "password", "auth"] as const)
      assert.equal(secretOf({ data: { a: `\${${name}}`, b: "${dockerconfig}" } }, east), undefined);
    assert.ok(secretOf({ data: { a: "${dockerconfig}" } }, east));
    assert.ok(secretOf({ data: { a: "${host}" } }, east));
    assert.equal(secretOf({ data: { a: "${dockerconfig}" } }, new Map()), undefined);
    assert.equal(secretOf({ login: "push", data: { a: "${auth}" } }, tokens, pushing), undefined);
  });

  it("has another revision for other tokens or another definition, and the same fields for any token", () => {
    const revision = (more: Partial<SecretDefinition>, from = tokens): string =>
      secretOf({ data: { a: "${auth}" }, ...more }, from)?.metadata.annotations?.["ecr-helper/revision"] ?? "";
    const other = new Map([...tokens, ["eu-west-1", token("next")] as const]);
    const more = [{ labels: { a: "b" } }, { annotations: { a: "b" } }, { type: "a" }, { data: { a: "${password}" } }];
    const revisions = [revision({}), revision({}, other), ...more.map((one) => revision(one))];
    assert.equal(new Set(revisions).size, 6);
    assert.equal(revision({ namespaces: ["a"] }), revision({}), "it is the same secret in fewer namespaces");
    assert.ok(
      exampleSecrets(configOf([secretDefinition({ data: all })])).some(({ metadata }) => metadata.name === "one"),
    );
  });

  it("shows no token in its metadata, whatever its templates are", () => {
    const template = fc.array(fc.oneof(fc.string(), fc.constantFrom(...publicPlaceholders.map((one) => `\${${one}}`))));
    const text = template.map((parts) =>
      parts
        .join("")
        .replaceAll("$", "")
        .replace(/\{(\w+)\}/g, "${$1}"),
    );
    fc.assert(
      fc.property(text, (annotation) => {
        let config: HelperConfig;
        try {
          config = configOf([secretDefinition({ annotations: { a: annotation }, data: all })]);
        } catch (error) {
          assert.ok(!String(error).includes("hunter2"));
          return;
        }
        const secrets = secretsOf(config, new Map([["eu-west-1", token("hunter2")]]));
        assert.ok(secrets.some(({ data }) => decode(data["password"]) === "hunter2"));
        for (const { metadata } of secrets) assert.ok(!JSON.stringify(metadata).includes("hunter2"));
      }),
    );
    for (const name of ["password", "auth", "dockerconfig", "username"])
      assert.throws(() => configOf([secretDefinition({ annotations: { a: `\${${name}}` } })]), /ECR_HELPER_SECRETS=/);
  });
});

describe("the form of a tool", () => {
  const auth = Buffer.from("AWS:west").toString("base64");
  const dockerConfig = { auths: { [own]: { auth }, [`https://${own}`]: { auth } } };
  const helm = { type: "helm", enableOCI: "true", username: "AWS", password: "west", url: own };
  const login = { username: "AWS", password: "west" };
  /** By the form: the type, labels and annotations of its own, and data. */
  const documents: Record<string, [type: string, labels: object, annotations: object, data: object]> = {
    "argocd-repository": ["Opaque", { "argocd.argoproj.io/secret-type": "repository" }, {}, { ...helm, name: "one" }],
    "argocd-repo-creds": ["Opaque", { "argocd.argoproj.io/secret-type": "repo-creds" }, {}, helm],
    "argocd-image-updater": ["Opaque", {}, {}, { creds: "AWS:west" }],
    flux: ["kubernetes.io/dockerconfigjson", {}, {}, { ".dockerconfigjson": JSON.stringify(dockerConfig) }],
    jenkins: ["Opaque", { "jenkins.io/credentials-type": "usernamePassword" }, {}, login],
    kpack: ["kubernetes.io/basic-auth", {}, { "kpack.io/docker": own }, login],
    kaniko: ["Opaque", {}, {}, { "config.json": JSON.stringify(dockerConfig) }],
    buildkit: ["Opaque", {}, {}, { "config.json": JSON.stringify(dockerConfig) }],
  };

  it("is known for each document", () => assert.deepEqual(Object.keys(documents), formNames));

  for (const [name, [type, labels, annotations, data]] of Object.entries(documents)) {
    it(`is the document that it reads: ${name}`, () => {
      const { hasUrl, ...form } = formsFor("one")[name] ?? assert.fail();
      assert.equal(hasUrl, name.startsWith("argocd-repo"));
      const secret = secretOf(form, new Map([["eu-west-1", token("west")]]), { ECR_HELPER_REGISTRIES: own });
      assert.equal(secret?.type, type);
      assert.deepEqual(dataOf(secret), data);
      const isOwn = ([key]: [string, string]): boolean => !/^(ecr-helper|app\.kubernetes\.io)\//.test(key);
      const shown = (all: Record<string, string> = {}): object => Object.fromEntries(Object.entries(all).filter(isOwn));
      assert.deepEqual([shown(secret.metadata.labels), shown(secret.metadata.annotations)], [labels, annotations]);
    });
  }
});
