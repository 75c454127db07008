import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import type { CheckResult } from "../local/pulumi/resource-type.ts";
import { isSecret, secret, unknown, type Properties } from "../local/pulumi/values.ts";

type Token = keyof typeof awsTypes;

const seed = new Uint8Array([1, 2, 3]);
const check = async (token: Token, inputs: Properties, oldInputs?: Properties): Promise<CheckResult> =>
  awsTypes[token].check({ inputs, oldInputs, naming: { name: "helper", seed } });

const policy = JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] });
const arn = "arn:aws:iam::123456789012:policy/p";
const user = "aws:iam/user:User";
const role = "aws:iam/role:Role";
const oidc = "aws:iam/openIdConnectProvider:OpenIdConnectProvider";
const association = "aws:eks/podIdentityAssociation:PodIdentityAssociation";

describe("check of the AWS types", () => {
  const minimal: readonly [Token, Properties][] = [
    ["aws:ecr/repository:Repository", {}],
    ["aws:ecr/repositoryPolicy:RepositoryPolicy", { repository: "r", policy }],
    ["aws:ecr/lifecyclePolicy:LifecyclePolicy", { repository: "r", policy: '{"rules":[]}' }],
    ["aws:iam/policy:Policy", { policy }],
    [user, {}],
    [role, { assumeRolePolicy: policy }],
    ["aws:iam/accessKey:AccessKey", { user: "u" }],
    ["aws:iam/rolePolicyAttachment:RolePolicyAttachment", { role: "r", policyArn: arn }],
    ["aws:iam/userPolicyAttachment:UserPolicyAttachment", { user: "u", policyArn: arn }],
    [oidc, { url: "https://issuer.example.com/id", clientIdLists: ["sts.amazonaws.com"] }],
    [
      association,
      { clusterName: "c", namespace: "n", serviceAccount: "s", roleArn: "arn:aws:iam::123456789012:role/r" },
    ],
  ];

  for (const [token, inputs] of minimal) {
    it(`accepts the required inputs of ${token}, and nothing less`, async () => {
      assert.deepEqual((await check(token, inputs)).failures, []);
      for (const key of Object.keys(inputs)) {
        const { failures } = await check(token, { ...inputs, [key]: undefined });
        assert.deepEqual(failures, [
          { property: key, reason: `Missing required argument: the argument "${key}" is required` },
        ]);
      }
    });

    it(`accepts inputs of ${token} that are unknown in a preview`, async () => {
      const open = Object.fromEntries(Object.keys(inputs).map((key) => [key, unknown]));
      const checked = await check(token, open);
      assert.deepEqual(checked.failures, []);
      for (const key of Object.keys(inputs)) assert.equal(checked.inputs[key], unknown);
    });

    it(`refuses inputs that ${token} does not have`, async () => {
      for (const key of ["nme", "constructor", "toString"]) {
        assert.deepEqual(
          (await check(token, { ...inputs, [key]: "x" })).failures.map(({ property }) => property),
          [key],
        );
      }
    });

    it(`fills in the defaults of ${token} with the same result every time`, async () => {
      const once = await check(token, inputs);
      assert.deepEqual((await check(token, inputs, once.inputs)).inputs, once.inputs);
    });
  }

  const refused: readonly [string, Token, Properties, string, RegExp][] = [
    ["a policy that is no JSON", "aws:iam/policy:Policy", { policy: "{" }, "policy", /invalid JSON/],
    ["a policy that is a text in JSON", "aws:iam/policy:Policy", { policy: '"x"' }, "policy", /not a JSON object/],
    ["a policy behind a space", "aws:iam/policy:Policy", { policy: ` ${policy}` }, "policy", /leading space/],
    ["an empty policy", "aws:iam/policy:Policy", { policy: "" }, "policy", /empty string/],
    ["a number for a text", user, { path: 3 }, "path", /expected string type, got number/],
    ["a text for a boolean", user, { forceDestroy: "yes" }, "forceDestroy", /expected boolean type, got string/],
    ["a list for tags", user, { tags: ["a"] }, "tags", /expected map of strings type, got list/],
    ["a number for a tag", user, { tags: { a: 1 } }, "tags", /expected map of strings/],
    ["a tag of AWS' own", user, { tags: { "aws:x": "1" } }, "tags", /aws:/],
    ["a user with a space", user, { name: "a b" }, "name", /alphanumeric/],
    ["a role with a slash", role, { assumeRolePolicy: policy, name: "a/b" }, "name", /must match/],
    ["a role with 65 letters", role, { assumeRolePolicy: policy, name: "x".repeat(65) }, "name", /1 - 64/],
    [
      "a session of a minute",
      role,
      { assumeRolePolicy: policy, maxSessionDuration: 60 },
      "maxSessionDuration",
      /3600 - 43200/,
    ],
    ["curly quotes", role, { assumeRolePolicy: policy, description: "“x" }, "description", /quotes/],
    [
      "a boundary that is no ARN",
      role,
      { assumeRolePolicy: policy, permissionsBoundary: "p" },
      "permissionsBoundary",
      /invalid ARN/,
    ],
    [
      "name and prefix",
      role,
      { assumeRolePolicy: policy, name: "a", namePrefix: "b" },
      "namePrefix",
      /conflicts with name/,
    ],
    ["inline policies", role, { assumeRolePolicy: policy, inlinePolicies: [] }, "inlinePolicies", /does not carry out/],
    ["a key for PGP", "aws:iam/accessKey:AccessKey", { user: "u", pgpKey: "k" }, "pgpKey", /does not carry out/],
    [
      "a status of no meaning",
      "aws:iam/accessKey:AccessKey",
      { user: "u", status: "On" },
      "status",
      /expected to be one of/,
    ],
    ["an issuer over HTTP", oidc, { url: "http://x.com", clientIdLists: ["a"] }, "url", /HTTPS scheme/],
    ["an issuer with a query", oidc, { url: "https://x.com?a=b", clientIdLists: ["a"] }, "url", /query parameters/],
    [
      "a short thumbprint",
      oidc,
      { url: "https://x.com", clientIdLists: ["a"], thumbprintLists: ["1"] },
      "thumbprintLists",
      /40 - 40/,
    ],
    [
      "a mutability of no meaning",
      "aws:ecr/repository:Repository",
      { imageTagMutability: "NO" },
      "imageTagMutability",
      /MUTABLE/,
    ],
    [
      "a scan without its switch",
      "aws:ecr/repository:Repository",
      { imageScanningConfiguration: {} },
      "imageScanningConfiguration.scanOnPush",
      /Missing required/,
    ],
    ["a region of no shape", "aws:ecr/repository:Repository", { region: "here" }, "region", /not a valid Region/],
  ];

  for (const [what, token, inputs, property, reason] of refused) {
    it(`refuses ${what}`, async () => {
      const { failures } = await check(token, inputs);
      assert.deepEqual(
        failures.map((one) => one.property),
        [property],
      );
      assert.match(failures[0]?.reason ?? "", reason);
    });
  }

  it("refuses values of a wrong type, and names the input", async () => {
    await fc.assert(
      fc.asyncProperty(fc.anything(), async (value) => {
        const { failures } = await check(user, { name: value });
        const isRight =
          value === undefined || value === null || (typeof value === "string" && /^[\w=,.@+-]+$/.test(value));
        assert.deepEqual(failures.length === 0, isRight);
        assert.ok(failures.every(({ property }) => property === "name"));
      }),
      { numRuns: 200 },
    );
  });

  it("accepts a policy document as an object", async () => {
    const { inputs, failures } = await check("aws:iam/policy:Policy", { policy: JSON.parse(policy) as unknown });
    assert.deepEqual([inputs["policy"], failures], [policy, []]);
    const open = await check("aws:iam/policy:Policy", { policy: { Statement: [{ Resource: unknown }] } });
    assert.equal(open.inputs["policy"], unknown);
  });

  it("keeps secrets secret, even in failures", async () => {
    const { inputs } = await check(user, { name: "u", tags: { key: secret("s3cret") } });
    assert.ok(isSecret((inputs["tags"] as Properties)["key"]));
    const { failures } = await check("aws:iam/accessKey:AccessKey", { user: "u", status: secret("s3cret") });
    assert.equal(failures.length, 1);
    assert.doesNotMatch(JSON.stringify(failures), /s3cret/);
  });
});

describe("autonaming", () => {
  it("appends seven hexadecimal digits, the same for the same seed", async () => {
    const [one, same] = [await check(user, {}), await check(user, {})];
    assert.match(String(one.inputs["name"]), /^helper-[0-9a-f]{7}$/);
    assert.equal(one.inputs["name"], same.inputs["name"]);
    const other = await awsTypes[user].check({ inputs: {}, naming: { name: "helper", seed: new Uint8Array([9]) } });
    assert.notEqual(one.inputs["name"], other.inputs["name"]);
  });

  it("keeps a generated name, and drops a name that the program has removed", async () => {
    const made = { name: "helper-0000000", __defaults: ["name"] };
    assert.equal((await check(user, {}, made)).inputs["name"], "helper-0000000");
    const oldInputs = { name: "mine", __defaults: [] };
    assert.match(String((await check(user, {}, oldInputs)).inputs["name"]), /^helper-[0-9a-f]{7}$/);
  });

  it("generates no name if there is a prefix", async () => {
    const { inputs } = await check(role, { assumeRolePolicy: policy, namePrefix: "p-" });
    assert.equal(inputs["name"], undefined);
  });

  it("refuses a name that would become too long", async () => {
    const naming = { name: "x".repeat(60), seed };
    const { failures } = await awsTypes[role].check({ inputs: { assumeRolePolicy: policy }, naming });
    assert.match(failures[0]?.reason ?? "", /longer than maximum length 64/);
  });

  it("follows the stack's own rule", async () => {
    const rule = (mode: "enforce" | "disable") => ({ name: "helper", seed, rule: { mode, proposed: "as-told" } });
    const enforced = await awsTypes[user].check({ inputs: {}, naming: rule("enforce") });
    assert.equal(enforced.inputs["name"], "as-told");
    const disabled = await awsTypes[user].check({ inputs: {}, naming: rule("disable") });
    assert.deepEqual(
      disabled.failures.map(({ property }) => property),
      ["name"],
    );
  });
});
