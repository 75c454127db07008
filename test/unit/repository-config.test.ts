import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import type { Registry } from "../../infra/registry.ts";
import { account, runProgram } from "../support/program.ts";
import { mistakesOf } from "../support/config-error.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

describe("the name of the repository", () => {
  it("follows ECR's service model, as long as Docker accepts it together with the host", () => {
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

describe("the principals of the repository", () => {
  const principal = (partition: string, name = "nodes"): string => `arn:${partition}:iam::444455556666:role/${name}`;
  const mistakesIn = (principals: readonly string[], own?: Registry): string[] =>
    mistakesOf({ repositoryPrincipals: JSON.stringify(principals) }, own);

  it("are accounts, principals of the stack's partition, or everyone", () => {
    const china = { partition: "aws-cn", accountId: account, region: "cn-north-1" };
    assert.deepEqual(mistakesIn(["444455556666", principal("aws"), "arn:aws:iam::444455556666:root"]), []);
    assert.deepEqual(mistakesIn(["444455556666", principal("aws-cn"), "*"], china), []);
    const expected = (one: string, own: string, partition: string): string =>
      `ecr-helper:repositoryPrincipals = "${one}": expected a principal in the stack's partition, ${own}: one of ` +
      `${partition} is unknown there`;
    const session = "arn:aws-us-gov:sts::444455556666:assumed-role/a/b";
    assert.deepEqual(mistakesIn([principal("aws-cn"), principal("aws"), session, "root"]), [
      `ecr-helper:repositoryPrincipals = "root": expected account ids of 12 digits, IAM ARNs, or "*"`,
      expected(principal("aws-cn"), "aws", "aws-cn"),
      expected(session, "aws", "aws-us-gov"),
    ]);
    assert.deepEqual(mistakesIn([principal("aws")], china), [expected(principal("aws"), "aws-cn", "aws")]);
  });

  it("must fit into an ECR repository policy", async () => {
    const some = (length: number): string[] =>
      Array.from({ length }, (_, index) => principal("aws", `role-${String(1000 + index)}`));
    assert.deepEqual(mistakesIn([...some(300), "*"]), [], "everyone is one principal");
    let most = 300;
    while (mistakesIn(some(most)).length > 0) most--;
    const given = { kubeconfig: "Pulumi.yaml", repositoryPrincipals: JSON.stringify(some(most)) };
    const { policy } = (await runProgram(given)).find("aws:ecr/repositoryPolicy:RepositoryPolicy").inputs;
    const { length } = String(policy);
    const ofOne = principal("aws", "role-1000").length + '"",'.length;
    assert.ok(
      length <= 10_240 && length + ofOne > 10_240,
      `${String(most)} principals have ${String(length)} characters`,
    );
    assert.deepEqual(mistakesIn(some(most + 1)), [
      `ecr-helper:repositoryPrincipals = [${String(most + 1)} entries]: expected fewer principals, or the ids of their ` +
        "accounts, each of which stands for all that are in it: the policy would have " +
        `${String(length + ofOne)} characters, and ECR takes 10240`,
    ]);
  });
});

describe("the encryption of the repository", () => {
  const key = `arn:aws:kms:eu-central-1:${account}:key/1234abcd-12ab-34cd-56ef-1234567890ab`;

  it("uses a key of AWS, or a key of any account in the stack's region", () => {
    const replicated = key.replace(/[^/]+$/, "mrk-1234abcd12ab34cd56ef1234567890ab");
    for (const encryption of ["AES256", "KMS", key, key.replace(account, "444455556666"), replicated]) {
      assert.deepEqual(mistakesOf({ encryption }), []);
    }
  });

  it("does not accept an alias, or a key in another region", () => {
    const form = "arn:aws:kms:eu-central-1:ACCOUNT:key/ID";
    const id = "where ID is a UUID, or mrk- and 32 digits of hexadecimal";
    const malformed = `AES256, KMS, or the ARN of a KMS key (not of an alias), ${form}, ${id}`;
    const badIds = ["1", key.slice(-35), `${key.slice(-36)}0`, key.slice(-36).toUpperCase(), `mrk-${key.slice(-36)}`];
    const elsewhere = `a KMS key in the stack's region, where the repository is: ${form}`;
    const wrong: [string, string][] = [
      ...["aes256", "KMS_DSSE", "alias/aws/ecr", key.replace("key/", "alias/"), key.slice(-36)].map(
        (one): [string, string] => [one, malformed],
      ),
      ...badIds.map((one): [string, string] => [key.replace(/[^/]+$/, one), malformed]),
      [key.replace("eu-central-1", "eu-west-1"), elsewhere],
      [key.replace("arn:aws", "arn:aws-cn"), elsewhere],
    ];
    for (const [encryption, expected] of wrong) {
      assert.deepEqual(mistakesOf({ encryption }), [`ecr-helper:encryption = "${encryption}": expected ${expected}`]);
    }
  });
});
