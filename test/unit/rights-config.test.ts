import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config.ts";
import type { Registry } from "../../infra/registry.ts";
import { account, configure, ownRegistry } from "../program.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

type Values = Record<string, string | readonly string[]>;

/** The lines of the one error; none of a configuration that is right. */
function mistakesOf(given: Values, own: Registry = ownRegistry): string[] {
  const texts = Object.entries(given).map(([key, value]) => [
    key,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  configure({ kubeconfig: "Pulumi.yaml", ...(Object.fromEntries(texts) as Record<string, string>) });
  try {
    readConfig(own);
  } catch (error) {
    assert.ok(pulumi.RunError.isInstance(error), String(error));
    return error.message.split("\n  ").slice(1);
  }
  return [];
}

const other = "444455556666";
const hostOf = (accountId: string, region: string): string => `${accountId}.dkr.ecr.${region}.amazonaws.com`;
const arnOf = (accountId: string, region: string, name = "app"): string =>
  `arn:aws:ecr:${region}:${accountId}:repository/${name}`;

const lists = ["pullRepositories", "pushRepositories", "pullThroughCache"];

describe("the repositories of a configuration", () => {
  it("are names, patterns, or ARNs in the registries that it names", () => {
    const registries = [hostOf(account, "us-east-1"), hostOf(other, "eu-west-1")];
    const some = [
      "app",
      "team-*",
      "*",
      "a/?/c_d",
      "*-dev",
      "a__b",
      "my--*/c---?",
      "ab".repeat(128),
      arnOf(account, "us-east-1", "hub/*"),
    ];
    const all = {
      pullRepositories: [...some, arnOf(other, "eu-west-1")],
      pushRepositories: [arnOf(account, "eu-central-1")],
    };
    assert.deepEqual(mistakesOf({ registries, ...all, pullThroughCache: some }), []);
    assert.deepEqual(mistakesOf({ pullRepositories: [] }), []);
  });

  it("are told of one by one where ECR cannot have them, where they are not ECR's, or where nobody named the registry", () => {
    const name =
      "names of ECR repositories (2 to 256 characters, lower case), patterns of them (* for any characters, ? for one) or " +
      "ARNs, arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME";
    const service = "an ARN of repositories of ECR, arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME";
    const registry = "an ARN of one registry, with its partition, region and account and no * or ? in them: ";
    const unnamed = "an ARN in the stack's own registry, or in one of registries: add its host, ";
    const wrong: [value: string, expected: string][] = [
      ...[
        "",
        "a",
        "?",
        "Upper",
        "-a",
        "a-",
        "a//b",
        "/a",
        "a/",
        "a b",
        "a".repeat(257),
        "é",
        "a:1",
        "a..b",
        "a___*",
        "a.-b",
      ].map((one): [string, string] => [one, name]),
      [arnOf(account, "eu-central-1", "Upper"), name],
      [arnOf(account, "eu-central-1", ""), name],
      [`${hostOf(account, "eu-central-1")}/app`, "the repository's name without the registry's host"],
      ["arn:aws:s3:::bucket", service],
      [`arn:aws:ecr-public::${account}:repository/app`, service],
      [`arn:aws:ecr:eu-central-1:${account}:registry/app`, service],
      ["arn:", service],
      [`arn:aws:ecr::${account}:repository/app`, registry],
      ["arn:aws:ecr:eu-central-1::repository/app", registry],
      [arnOf("*", "eu-central-1"), registry],
      [arnOf(account, "eu-*"), registry],
      [`arn:aws-?:ecr:eu-central-1:${account}:repository/app`, registry],
      [arnOf(other, "eu-central-1"), unnamed],
      [arnOf(account, "us-east-1"), unnamed],
      [`arn:aws-cn:ecr:eu-central-1:${account}:repository/app`, unnamed],
    ];
    for (const key of lists) {
      const told = mistakesOf({ [key]: wrong.map(([value]) => value) });
      assert.equal(told.length, wrong.length);
      for (const [index, [value, expected]] of wrong.entries()) {
        const line = `ecr-helper:${key} = ${JSON.stringify(value)}: expected ${expected}`;
        assert.ok(told[index]?.startsWith(line), `${line} in ${String(told[index])}`);
      }
    }
  });

  it("are filled by pull through cache in the own account alone", () => {
    const pullThroughCache = [arnOf(other, "eu-west-1", "hub/*")];
    const registries = [hostOf(other, "eu-west-1")];
    assert.deepEqual(mistakesOf({ registries, pullThroughCache }), [
      `ecr-helper:pullThroughCache = "${arnOf(other, "eu-west-1", "hub/*")}": expected repositories of the stack's own ` +
        "account: rules of another account fill those there",
    ]);
  });

  it("are not in registries of another partition", () => {
    const [china, government] = [`${hostOf(other, "cn-north-1")}.cn`, hostOf(other, "us-gov-west-1")];
    assert.deepEqual(
      mistakesOf({ registries: [china, hostOf(other, "us-east-1"), government] }),
      [
        [china, "aws-cn"],
        [government, "aws-us-gov"],
      ].map(
        ([host, partition]) =>
          `ecr-helper:registries = "${String(host)}": expected a registry in the stack's partition, aws: an identity of ` +
          `aws is unknown in ${String(partition)}; run a second stack there`,
      ),
    );
  });

  it("are in registries by the hosts that these have in their partition, and by no other", () => {
    const partitions: [partition: string, regions: string[], suffix: string][] = [
      ["aws", ["us-west-2", "ap-southeast-7", "mx-central-1"], "amazonaws.com"],
      ["aws-cn", ["cn-north-1", "cn-northwest-1"], "amazonaws.com.cn"],
      ["aws-us-gov", ["us-gov-west-1", "us-gov-east-1"], "amazonaws.com"],
      ["aws-iso", ["us-iso-east-1"], "c2s.ic.gov"],
      ["aws-iso-b", ["us-isob-east-1"], "sc2s.sgov.gov"],
      ["aws-iso-e", ["eu-isoe-west-1"], "cloud.adc-e.uk"],
      ["aws-iso-f", ["us-isof-south-1"], "csp.hci.ic.gov"],
      ["aws-eusc", ["eusc-de-east-1"], "amazonaws.eu"],
    ];
    for (const [partition, regions, suffix] of partitions) {
      for (const region of regions) {
        const own = { partition, accountId: account, region: regions[0] ?? "" };
        const right = `${other}.dkr.ecr.${region}.${suffix}`;
        assert.deepEqual(mistakesOf({ registries: [right] }, own), []);
        const others = partitions.map(([, , one]) => one).filter((one) => one !== suffix);
        for (const wrong of [...others, "evil.example", `${suffix}.evil.example`, "com"]) {
          const host = `${other}.dkr.ecr.${region}.${wrong}`;
          assert.deepEqual(mistakesOf({ registries: [host] }, own), [
            `ecr-helper:registries = "${host}": expected ${right}, the host of that account's registry in ${region}`,
          ]);
        }
        const form = `ACCOUNT.dkr.ecr.REGION.${suffix}`;
        for (const host of [right.replace("ecr", "ecr-fips"), region, `${right}:443`, `${right}.`]) {
          const expected = `ecr-helper:registries = "${host}": expected hosts ${form}`;
          assert.deepEqual(mistakesOf({ registries: [host] }, own), [expected]);
        }
        const arn = `arn:${partition}:ecr:${region}:${other}:repository/app`;
        assert.deepEqual(mistakesOf({ pullRepositories: [arn] }, own), [
          `ecr-helper:pullRepositories = "${arn}": expected an ARN in the stack's own registry, or in one of registries: ` +
            `add its host, ${form}, there`,
        ]);
      }
    }
  });

  it("fit into a policy of IAM", () => {
    const names = (count: number): string[] =>
      Array.from({ length: count }, (_, index) => `repository-${String(index)}`);
    assert.deepEqual(mistakesOf({ pullRepositories: names(80) }), []);
    const [line, ...others] = mistakesOf({ pullRepositories: names(20), pushRepositories: names(90) });
    assert.match(
      line ?? "",
      /^ecr-helper:pushRepositories = \[90 entries\]: expected fewer or broader patterns, or a second stack for some of the registries: the policy would have \d{4} characters, and IAM takes 6144$/,
    );
    assert.deepEqual(others, []);
    const registries = Array.from({ length: 120 }, (_, index) => hostOf(String(100_000_000_000 + index), "eu-west-1"));
    assert.equal(mistakesOf({ registries: registries.slice(0, 80) }).length, 0);
    assert.match(mistakesOf({ registries })[0] ?? "", /^ecr-helper:pullRepositories = \[1 entry\]: expected fewer or/);
  });

  it("are told of together with everything else", () => {
    const wrong = {
      pullRepositories: ["Upper"],
      pushRepositories: [arnOf(other, "eu-west-1")],
      pullThroughCache: ["a b"],
      registries: [hostOf(other, "cn-north-1")],
      encryption: "alias/own",
      tagMutability: "NEVER",
      scanOnPush: "yes",
      logLevel: "all",
    };
    const told = mistakesOf(wrong).map((line) => /^ecr-helper:(\w+)/.exec(line)?.[1]);
    assert.deepEqual(told.sort(), Object.keys(wrong).sort());
  });
});
