import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { awsSession } from "../local/pulumi/aws/session.ts";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import type { DiffKind, DiffResult } from "../local/pulumi/diff.ts";
import { secret, unknown, type Properties } from "../local/pulumi/values.ts";

type Token = keyof typeof awsTypes;

const session = awsSession({ region: "us-east-1", accessKey: "a", secretKey: "b" });

const document = (action: unknown): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: action, Resource: "*" }] });
const lifecycle = (count: number): string =>
  JSON.stringify({
    rules: [
      {
        rulePriority: 1,
        selection: { tagStatus: "any", countType: "imageCountMoreThan", countNumber: count },
        action: { type: "expire" },
      },
    ],
  });
const arn = (name: string): string => `arn:aws:iam::123456789012:${name}`;

const examples: Readonly<Record<Token, Properties>> = {
  "aws:ecr/repository:Repository": { name: "r", imageScanningConfiguration: { scanOnPush: true }, tags: { a: "1" } },
  "aws:ecr/repositoryPolicy:RepositoryPolicy": { repository: "r", policy: document("ecr:ListImages") },
  "aws:ecr/lifecyclePolicy:LifecyclePolicy": { repository: "r", policy: lifecycle(3) },
  "aws:iam/policy:Policy": { name: "p", description: "d", policy: document(["a:B", "c:D"]), tags: { a: "1" } },
  "aws:iam/user:User": { name: "u", tags: { a: "1" } },
  "aws:iam/role:Role": { name: "r", assumeRolePolicy: document("sts:AssumeRole"), tags: { a: "1" } },
  "aws:iam/accessKey:AccessKey": { user: "u" },
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment": { role: "r", policyArn: arn("policy/p") },
  "aws:iam/userPolicyAttachment:UserPolicyAttachment": { user: "u", policyArn: arn("policy/p") },
  "aws:iam/openIdConnectProvider:OpenIdConnectProvider": {
    url: "https://issuer.example.com",
    clientIdLists: ["a", "b"],
    thumbprintLists: ["0".repeat(40)],
  },
  "aws:eks/podIdentityAssociation:PodIdentityAssociation": {
    clusterName: "c",
    namespace: "n",
    serviceAccount: "s",
    roleArn: arn("role/r"),
  },
};

/** The diff between what the first inputs would have made, and the second ones. */
async function diff(
  token: Token,
  old: Properties,
  next: Properties,
  ignoreChanges: string[] = [],
): Promise<DiffResult> {
  const naming = { name: "helper" };
  const before = await awsTypes[token].check({ inputs: old, naming });
  const after = await awsTypes[token].check({ inputs: next, oldInputs: before.inputs, naming });
  assert.deepEqual(after.failures, []);
  const state = awsTypes[token].preview(before.inputs, session);
  return awsTypes[token].diff({ state, inputs: after.inputs, ignoreChanges }, session);
}

describe("diff of the AWS types", () => {
  for (const [token, inputs] of Object.entries(examples) as [Token, Properties][]) {
    it(`finds no change in an unchanged ${token}`, async () => {
      const unchanged = { changes: false, detailed: {}, replaces: [], deleteBeforeReplace: false };
      assert.deepEqual(await diff(token, inputs, inputs), unchanged);
    });

    it(`reports an unknown input of ${token} as changed`, async () => {
      const [key = ""] = Object.keys(inputs);
      const { changes, detailed } = await diff(token, inputs, { ...inputs, [key]: unknown });
      assert.ok(changes);
      assert.match(detailed[key] ?? "", /^UPDATE/);
    });
  }

  const cases: readonly [
    string,
    Token,
    Properties,
    Record<string, DiffKind>,
    { replaces?: string[]; deletes?: true }?,
  ][] = [
    [
      "a repository's tag is changed",
      "aws:ecr/repository:Repository",
      { tags: { a: "2" } },
      { "tags.a": "UPDATE", tagsAll: "UPDATE" },
    ],
    [
      "a tag is added",
      "aws:iam/user:User",
      { tags: { a: "1", "x/y": "2" } },
      { 'tags["x/y"]': "ADD", tagsAll: "UPDATE" },
    ],
    ["all tags are taken away", "aws:iam/user:User", { tags: undefined }, { tags: "DELETE", tagsAll: "UPDATE" }],
    [
      "a repository is renamed",
      "aws:ecr/repository:Repository",
      { name: "s" },
      { name: "UPDATE_REPLACE" },
      { replaces: ["name"], deletes: true },
    ],
    [
      "a repository gets another key",
      "aws:ecr/repository:Repository",
      { encryptionConfigurations: [{ encryptionType: "KMS" }] },
      { encryptionConfigurations: "UPDATE_REPLACE" },
      { replaces: ["encryptionConfigurations"], deletes: true },
    ],
    [
      "scans are switched off",
      "aws:ecr/repository:Repository",
      { imageScanningConfiguration: { scanOnPush: false } },
      { "imageScanningConfiguration.scanOnPush": "UPDATE" },
    ],
    ["forceDelete is added", "aws:ecr/repository:Repository", { forceDelete: true }, { forceDelete: "ADD" }],
    [
      "a repository moves to another region",
      "aws:ecr/repository:Repository",
      { region: "eu-west-1" },
      { region: "UPDATE_REPLACE" },
      { replaces: ["region"], deletes: true },
    ],
    [
      "a repository's policy is changed",
      "aws:ecr/repositoryPolicy:RepositoryPolicy",
      { policy: document("ecr:PutImage") },
      { policy: "UPDATE" },
    ],
    [
      "a repository's policy goes to another one",
      "aws:ecr/repositoryPolicy:RepositoryPolicy",
      { repository: "s" },
      { repository: "UPDATE_REPLACE" },
      { replaces: ["repository"] },
    ],
    [
      "a lifecycle policy is changed",
      "aws:ecr/lifecyclePolicy:LifecyclePolicy",
      { policy: lifecycle(4) },
      { policy: "UPDATE_REPLACE" },
      { replaces: ["policy"], deletes: true },
    ],
    ["a policy's document is changed", "aws:iam/policy:Policy", { policy: document("a:B") }, { policy: "UPDATE" }],
    [
      "a policy's description is changed",
      "aws:iam/policy:Policy",
      { description: "e" },
      { description: "UPDATE_REPLACE" },
      { replaces: ["description"], deletes: true },
    ],
    [
      "a policy moves to a path",
      "aws:iam/policy:Policy",
      { path: "/x/" },
      { path: "UPDATE_REPLACE" },
      { replaces: ["path"], deletes: true },
    ],
    [
      "a user is renamed and moved",
      "aws:iam/user:User",
      { name: "v", path: "/x/" },
      { name: "UPDATE", path: "UPDATE" },
    ],
    [
      "a user gets a boundary",
      "aws:iam/user:User",
      { permissionsBoundary: arn("policy/b") },
      { permissionsBoundary: "ADD" },
    ],
    [
      "a role is renamed",
      "aws:iam/role:Role",
      { name: "s" },
      { name: "UPDATE_REPLACE" },
      { replaces: ["name"], deletes: true },
    ],
    ["a role's session is longer", "aws:iam/role:Role", { maxSessionDuration: 7200 }, { maxSessionDuration: "UPDATE" }],
    ["a role is described", "aws:iam/role:Role", { description: "x" }, { description: "ADD" }],
    ["a key is deactivated", "aws:iam/accessKey:AccessKey", { status: "Inactive" }, { status: "UPDATE" }],
    [
      "a key gets another user",
      "aws:iam/accessKey:AccessKey",
      { user: "v" },
      { user: "UPDATE_REPLACE" },
      { replaces: ["user"] },
    ],
    [
      "a role gets another policy",
      "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
      { policyArn: arn("policy/q") },
      { policyArn: "UPDATE_REPLACE" },
      { replaces: ["policyArn"], deletes: true },
    ],
    [
      "a policy gets another user",
      "aws:iam/userPolicyAttachment:UserPolicyAttachment",
      { user: "v" },
      { user: "UPDATE_REPLACE" },
      { replaces: ["user"], deletes: true },
    ],
    [
      "the issuer is another one",
      "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
      { url: "https://other.example.com" },
      { url: "UPDATE_REPLACE" },
      { replaces: ["url"] },
    ],
    [
      "audiences are other ones",
      "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
      { clientIdLists: ["a", "c"] },
      { clientIdLists: "UPDATE" },
    ],
    [
      "an association gets another role",
      "aws:eks/podIdentityAssociation:PodIdentityAssociation",
      { roleArn: arn("role/s") },
      { roleArn: "UPDATE" },
    ],
    [
      "an association gets another account",
      "aws:eks/podIdentityAssociation:PodIdentityAssociation",
      { serviceAccount: "t" },
      { serviceAccount: "UPDATE_REPLACE" },
      { replaces: ["serviceAccount"] },
    ],
  ];

  for (const [what, token, changed, detailed, { replaces = [], deletes = false } = {}] of cases) {
    it(`reports the change when ${what}`, async () => {
      const found = await diff(token, examples[token], { ...examples[token], ...changed });
      assert.deepEqual(found, { changes: true, detailed, replaces, deleteBeforeReplace: deletes });
    });
  }

  const same: readonly [string, Token, Properties][] = [
    ["a document in another order", "aws:iam/policy:Policy", { policy: document(["c:D", "a:B"]) }],
    [
      "audiences in another order",
      "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
      { clientIdLists: ["b", "a"] },
    ],
    [
      "an issuer without its scheme",
      "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
      { url: "issuer.example.com" },
    ],
    [
      "thumbprints that are not set",
      "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
      { thumbprintLists: undefined },
    ],
    ["image scanning that is not set", "aws:ecr/repository:Repository", { imageScanningConfiguration: undefined }],
    ["the region of the provider", "aws:ecr/repository:Repository", { region: "us-east-1" }],
    ["the default path", "aws:iam/user:User", { path: "/" }],
    ["an empty boundary", "aws:iam/user:User", { permissionsBoundary: "" }],
    ["an empty description", "aws:iam/role:Role", { description: "" }],
    ["a secret of the same value", "aws:iam/user:User", { tags: secret({ a: "1" }) }],
  ];

  for (const [what, token, changed] of same) {
    it(`reports no change for ${what}`, async () => {
      assert.deepEqual((await diff(token, examples[token], { ...examples[token], ...changed })).detailed, {});
    });
  }

  it("creates the replacement first if the name is generated", async () => {
    const inputs = { policy: document("a:B") };
    const found = await diff("aws:iam/policy:Policy", inputs, { ...inputs, description: "new" });
    assert.deepEqual([found.replaces, found.deleteBeforeReplace], [["description"], false]);
  });

  it("ignores the changes in ignoreChanges, and those of nested properties", async () => {
    const token = "aws:iam/user:User";
    const next = { name: "v", tags: { a: "2", b: "3" } };
    assert.deepEqual((await diff(token, examples[token], next, ["tags", "tagsAll"])).detailed, { name: "UPDATE" });
    const some = await diff(token, examples[token], next, ["tags.a", "tagsAll", "name"]);
    assert.deepEqual(some.detailed, { "tags.b": "ADD" });
  });

  it("finds changes by other clients after a refresh", () => {
    const state = { name: "u", path: "/", tags: { theirs: "1" }, tagsAll: { theirs: "1" }, forceDestroy: false };
    const found = awsTypes["aws:iam/user:User"].diff({ state, inputs: { name: "u" } }, session);
    assert.deepEqual(found.detailed, { tags: "DELETE", tagsAll: "UPDATE" });
  });

  it("finds new default tags of the provider", async () => {
    const token = "aws:iam/user:User";
    const { inputs } = await awsTypes[token].check({ inputs: examples[token], naming: { name: "helper" } });
    const state = awsTypes[token].preview(inputs, session);
    const tagged = awsSession({ region: "us-east-1", defaultTags: { tags: { team: "x" } } });
    assert.deepEqual(awsTypes[token].diff({ state, inputs }, tagged).detailed, { tagsAll: "UPDATE" });
  });
});
