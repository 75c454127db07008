import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config.ts";
import { account, configure, ownRegistry } from "../program.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

/** The lines of the one error; none where it is right. */
function mistakesOf(given: Readonly<Record<string, string>>): string[] {
  configure({ kubeconfig: "Pulumi.yaml", ...given });
  try {
    readConfig(ownRegistry);
  } catch (error) {
    assert.ok(pulumi.RunError.isInstance(error), String(error));
    return error.message.split("\n  ").slice(1);
  }
  return [];
}

describe("the name of the repository", () => {
  it("is what ECR's service model has, as long as Docker takes it with the host", () => {
    for (const repositoryName of ["ab", "my--app", "a__b", "a---b.c_d/0", "builds/ecr-helper", "a".repeat(200)]) {
      assert.deepEqual(mistakesOf({ repositoryName }), []);
    }
    for (const repositoryName of ["a", "a..b", "a___b", "a_-b", "-a", "a-", "a//b", "a/", "*", "a".repeat(201)]) {
      assert.deepEqual(mistakesOf({ repositoryName }), [
        `ecr-helper:repositoryName = "${repositoryName}": expected a name of an ECR repository (2 to 200, lower case)`,
      ]);
    }
  });
});

describe("the encryption of the repository", () => {
  const key = `arn:aws:kms:eu-central-1:${account}:key/1234abcd-12ab-34cd-56ef-1234567890ab`;

  it("is by a key of AWS, or by any account's in the stack's region", () => {
    for (const encryption of ["AES256", "KMS", key, key.replace(account, "444455556666")]) {
      assert.deepEqual(mistakesOf({ encryption }), []);
    }
  });

  it("is not by an alias, nor by a key elsewhere", () => {
    const form = "arn:aws:kms:eu-central-1:ACCOUNT:key/ID";
    const malformed = `AES256, KMS, or the ARN of a KMS key (not of an alias), ${form}`;
    const elsewhere = `a KMS key in the stack's region, where the repository is: ${form}`;
    const wrong: [string, string][] = [
      ...["aes256", "KMS_DSSE", "alias/aws/ecr", key.replace("key/", "alias/"), key.slice(-36)].map(
        (one): [string, string] => [one, malformed],
      ),
      [key.replace("eu-central-1", "eu-west-1"), elsewhere],
      [key.replace("arn:aws", "arn:aws-cn"), elsewhere],
    ];
    for (const [encryption, expected] of wrong) {
      assert.deepEqual(mistakesOf({ encryption }), [`ecr-helper:encryption = "${encryption}": expected ${expected}`]);
    }
  });
});
