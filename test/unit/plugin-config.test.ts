import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { awsProvider } from "../local/pulumi/aws/provider.ts";
import { readConfig } from "../local/pulumi/aws/config.ts";
import { configChanges, configOf, withSecrets } from "../local/pulumi/plugin-config.ts";
import { isSecret, plainProperties, secret, unknown } from "../local/pulumi/values.ts";

describe("the AWS provider's own configuration", () => {
  const environment = { ...process.env };
  beforeEach(() => {
    delete process.env["AWS_REGION"];
    delete process.env["AWS_DEFAULT_REGION"];
  });
  afterEach(() => void Object.assign(process.env, environment));

  it("is read from text, JSON and secrets, without the engine's own keys", () => {
    const given = {
      version: "7.48.0",
      region: "us-east-1",
      secretKey: secret("s3cret"),
      defaultTags: '{"tags":{"team":"x"}}',
      skipCredentialsValidation: "true",
      endpoints: '[{"ecr":"http://here"},{"iam":"http://there"}]',
      token: unknown,
    };
    const config = configOf(given);
    assert.deepEqual(Object.keys(config).sort(), [
      "defaultTags",
      "endpoints",
      "region",
      "secretKey",
      "skipCredentialsValidation",
    ]);
    const { defaultTags, endpoints, credentials } = readConfig({ ...config, accessKey: "AKIA" });
    assert.deepEqual(defaultTags, { team: "x" });
    assert.deepEqual(endpoints, { ecr: "http://here", iam: "http://there" });
    assert.deepEqual(credentials, { accessKeyId: "AKIA", secretAccessKey: "s3cret" });
  });

  const refused: readonly [string, Record<string, unknown>, string, RegExp][] = [
    ["a key that nobody knows", { region: "r", regionn: "x" }, "regionn", /Invalid or unknown key.*aws:regionn/],
    ["no region", {}, "region", /Missing region information\nMake sure you have set your AWS region/],
    ["what the stand-in does not do", { region: "r", httpProxy: "x" }, "httpProxy", /does not carry out/],
    ["a key without its secret", { region: "r", accessKey: "x" }, "secretKey", /together/],
    ["an endpoint of another service", { region: "r", endpoints: [{ s3: "x" }] }, "endpoints", /s3/],
  ];
  for (const [what, config, property, reason] of refused) {
    it(`refuses ${what}`, async () => {
      const failures = await awsProvider.checkConfig(config);
      assert.deepEqual(
        failures.map((one) => one.property),
        [property],
      );
      assert.match(failures[0]?.reason ?? "", reason);
      await assert.rejects(awsProvider.configure(config, () => undefined));
    });
  }

  it("has the roles that it assumes, one by the other", async () => {
    const assumeRoles = [{ roleArn: "one" }, { roleArn: "other", sessionName: "s", externalId: "e" }];
    const config = configOf({ region: "r", assumeRoles: JSON.stringify(assumeRoles) });
    assert.deepEqual(await awsProvider.checkConfig(config), []);
    assert.deepEqual(readConfig(config).roles, assumeRoles);
    assert.deepEqual(readConfig({}).roles, []);
  });

  it("has the region of the environment by default", async () => {
    process.env["AWS_REGION"] = "eu-west-1";
    assert.deepEqual(await awsProvider.checkConfig({}), []);
    assert.equal(readConfig({}).region, "eu-west-1");
  });

  it("has its secrets marked, however they were set, so that the state has them encrypted", () => {
    const marked = withSecrets(awsProvider, { region: "a", accessKey: "k", secretKey: "s", token: unknown });
    assert.deepEqual(
      Object.keys(marked).filter((key) => isSecret(marked[key])),
      ["accessKey", "secretKey"],
    );
    assert.equal(plainProperties(marked)["secretKey"], "s");
  });

  it("changes in place: no key replaces the provider", () => {
    const changed = configChanges({ region: "a", token: "t" }, { region: "b", skipMetadataApiCheck: "true" });
    assert.deepEqual(changed, {
      changes: true,
      detailed: { region: "UPDATE", token: "DELETE", skipMetadataApiCheck: "ADD" },
      replaces: [],
      deleteBeforeReplace: false,
    });
    assert.equal(configChanges({ region: "a", version: "1" }, { region: "a", version: "2" }).changes, false);
  });
});
