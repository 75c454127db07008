import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { account } from "../support/program.ts";
import { mistakesOf } from "../support/config-error.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

type Values = Record<string, string | readonly string[]>;

const other = "444455556666";
const hostOf = (accountId: string, region: string): string => `${accountId}.dkr.ecr.${region}.amazonaws.com`;
const arnOf = (accountId: string, region: string, name = "app"): string =>
  `arn:aws:ecr:${region}:${accountId}:repository/${name}`;

const lists = ["pullRepositories", "pushRepositories", "pullThroughCache"];

/** Each partition with some of its regions, and the suffixes of hosts with IPv4 and of dual-stack hosts. */
const partitions: [partition: string, regions: string[], suffix: string, dualStack: string][] = [
  ["aws", ["us-west-2", "ap-southeast-7", "mx-central-1"], "amazonaws.com", "on.aws"],
  ["aws-cn", ["cn-north-1", "cn-northwest-1"], "amazonaws.com.cn", "on.amazonwebservices.com.cn"],
  ["aws-us-gov", ["us-gov-west-1", "us-gov-east-1"], "amazonaws.com", "on.aws"],
  ["aws-iso", ["us-iso-east-1"], "c2s.ic.gov", "on.aws.ic.gov"],
  ["aws-iso-b", ["us-isob-east-1"], "sc2s.sgov.gov", "on.aws.scloud"],
  ["aws-iso-e", ["eu-isoe-west-1"], "cloud.adc-e.uk", "on.cloud-aws.adc-e.uk"],
  ["aws-iso-f", ["us-isof-south-1"], "csp.hci.ic.gov", "on.aws.hci.ic.gov"],
  ["aws-eusc", ["eusc-de-east-1"], "amazonaws.eu", "on.amazonwebservices.eu"],
];

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

  it("are each reported if ECR cannot have them, if they are not of ECR, or if their registry is not configured", () => {
    const rules = "(2 to 256 characters: lower case letters and digits, separated by one of . _ __ - /)";
    const name =
      `names of ECR repositories ${rules}, patterns of them (* for any characters, ? for one) or ARNs, ` +
      "arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME";
    const nameInArn = `a repository's name in the ARN ${rules} or a pattern of names (* for any characters, ? for one)`;
    const lower = "the name in lower case: ECR takes no upper case letters";
    const tagged = "the repository's name without its tag or digest";
    const service = "an ARN of repositories of ECR, arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME";
    const registry =
      "an ARN of one registry, with its partition, region and account (12 digits) and no * or ? in them: ";
    const unnamed = "an ARN in the stack's own registry, or in one of registries: add its host, ";
    const elsewhere = (partition: string): string =>
      `an ARN in the stack's partition, aws: an identity of aws is unknown in ${partition}; run a second stack there`;
    const wrong: [value: string, expected: string][] = [
      ...[
        "",
        "a",
        "?",
        "-a",
        "a-",
        "a//b",
        "/a",
        "/",
        "a/",
        "[ab]",
        "A//b",
        ":1",
        "a//b:1",
        "a b",
        "a".repeat(257),
        "é",
        "a..b",
        "a___*",
        "a.-b",
      ].map((one): [string, string] => [one, name]),
      ...["Upper", "Team-A/app", "Team-*", arnOf(account, "eu-central-1", "Upper")].map((one): [string, string] => [
        one,
        lower,
      ]),
      ...["app:1", "team-*:latest", "App:1", `app@sha256:${"0".repeat(64)}`, "app:1@sha256:0"].map(
        (one): [string, string] => [one, tagged],
      ),
      [arnOf(account, "eu-central-1", "app:1"), tagged],
      ...["", "a//b", "[ab]", "a"].map((one): [string, string] => [arnOf(account, "eu-central-1", one), nameInArn]),
      ...["dkr.ecr", "dkr.ecr-fips", "dkr-ecr", "dkr-ecr-fips"].map((form): [string, string] => [
        `${hostOf(account, "us-east-1").replace("dkr.ecr", form)}/app`,
        "the repository's name without the registry's host",
      ]),
      ["arn:aws:s3:::bucket", service],
      [`arn:aws:ecr-public::${account}:repository/app`, service],
      [`arn:aws:ecr:eu-central-1:${account}:registry/app`, service],
      ["arn:", service],
      [`arn:aws:ecr::${account}:repository/app`, registry],
      ["arn:aws:ecr:eu-central-1::repository/app", registry],
      [arnOf("*", "eu-central-1"), registry],
      [arnOf(account, "eu-*"), registry],
      [`arn:aws-?:ecr:eu-central-1:${account}:repository/app`, registry],
      [arnOf("12345678901", "eu-central-1"), registry],
      [arnOf(account, "Frankfurt"), registry],
      [arnOf(account, "us-east-1"), unnamed],
      [arnOf(account, "us-east-1", "Upper"), unnamed],
      [`arn:aws-cn:ecr:eu-central-1:${account}:repository/app`, elsewhere("aws-cn")],
      [`arn:aws-cn:ecr:cn-north-1:${other}:repository/app`, elsewhere("aws-cn")],
      [arnOf(other, "us-gov-west-1"), elsewhere("aws-us-gov")],
    ];
    for (const key of lists) {
      const reported = mistakesOf({ [key]: wrong.map(([value]) => value) });
      assert.equal(reported.length, wrong.length);
      assert.equal(new Set(wrong.map(([value]) => value)).size, wrong.length);
      for (const [index, [value, expected]] of wrong.entries()) {
        const line = `ecr-helper:${key} = ${JSON.stringify(value)}: expected ${expected}`;
        assert.ok(reported[index]?.startsWith(line), `${line} in ${String(reported[index])}`);
      }
    }
  });

  it("can be caches only in the stack's own account", () => {
    for (const name of ["hub/*", "Hub"]) {
      const pullThroughCache = [arnOf(other, "eu-west-1", name)];
      for (const registries of [[], [hostOf(other, "eu-west-1")]]) {
        assert.deepEqual(mistakesOf({ registries, pullThroughCache }), [
          `ecr-helper:pullThroughCache = "${pullThroughCache.join()}": expected repositories of the stack's own account, ` +
            `${account}: rules of another account fill those there`,
        ]);
      }
    }
  });

  it("cannot be in registries of another partition", () => {
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

  it("are in registries with exactly the host that their partition gives them", () => {
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
        const otherForms = [
          `${other}.dkr.ecr_fips.${region}.${suffix}`,
          `${other}.dkr-fips.ecr.${region}.${suffix}`,
          `${other}.ecr.${region}.${suffix}`,
          right.toUpperCase(),
          `https://${right}`,
          `${right}/app`,
          ` ${right}`,
          right.slice(1),
          region,
          `${right}:443`,
          `${right}.`,
          "",
        ];
        for (const host of otherForms) {
          assert.deepEqual(mistakesOf({ registries: [host] }, own), [
            `ecr-helper:registries = "${host}": expected hosts ${form}, or their FIPS or dual-stack form: 12 digits, ` +
              `lower case, no https:// and no path${partition === "aws" ? "; or public.ecr.aws" : ""}`,
          ]);
        }
        const arn = `arn:${partition}:ecr:${region}:${other}:repository/app`;
        assert.deepEqual(mistakesOf({ pullRepositories: [arn] }, own), [
          `ecr-helper:pullRepositories = "${arn}": expected an ARN in the stack's own registry, or in one of registries: ` +
            `add its host, ${form}, there`,
        ]);
      }
    }
  });

  it("are in registries by their FIPS and dual-stack hosts, too, where AWS has these", () => {
    for (const [partition, regions, suffix, dualStack] of partitions) {
      for (const region of regions) {
        const own = { partition, accountId: account, region: regions[0] ?? "" };
        const [plain, both] = [`${other}.dkr.ecr.${region}.${suffix}`, `${other}.dkr-ecr.${region}.${dualStack}`];
        const pullRepositories = [`arn:${partition}:ecr:${region}:${other}:repository/app`];
        assert.deepEqual(mistakesOf({ registries: [both], pullRepositories }, own), []);
        for (const fips of [plain, both].map((one) => one.replace("ecr", "ecr-fips"))) {
          const expected = `${plain}: ECR has FIPS endpoints only in the regions of the US`;
          const mistakes = [`ecr-helper:registries = "${fips}": expected ${expected}`];
          assert.deepEqual(
            mistakesOf({ registries: [fips], pullRepositories }, own),
            region.startsWith("us-") ? [] : mistakes,
          );
        }
        const mixed = `${other}.dkr-ecr.${region}.${suffix}`;
        assert.deepEqual(mistakesOf({ registries: [mixed] }, own), [
          `ecr-helper:registries = "${mixed}": expected ${both}, the host of that account's registry in ${region}`,
        ]);
      }
    }
  });

  it("must fit into an IAM policy", () => {
    const names = (count: number): string[] =>
      Array.from({ length: count }, (_, index) => `repository-${String(index)}`);
    assert.deepEqual(mistakesOf({ pullRepositories: names(80) }), []);
    const [line, ...others] = mistakesOf({ pullRepositories: names(20), pushRepositories: names(100) });
    assert.match(
      line ?? "",
      /^ecr-helper:pushRepositories = \[100 entries\]: expected fewer or broader patterns, or a second stack for some of the registries: the policy would have \d{5} characters for 100 names in 1 registry, and IAM takes 6144$/,
    );
    assert.deepEqual(others, []);
    const registries = Array.from({ length: 120 }, (_, index) => hostOf(String(100_000_000_000 + index), "eu-west-1"));
    assert.equal(mistakesOf({ registries: registries.slice(0, 80) }).length, 0);
    assert.match(
      mistakesOf({ registries })[0] ?? "",
      /^ecr-helper:pullRepositories = \[1 entry\]: expected fewer or .* characters for 1 name in 121 registries, and/,
    );
    const one = [hostOf(other, "eu-west-1")];
    assert.match(
      mistakesOf({ registries: one, pullRepositories: names(130) })[0] ?? "",
      / characters for 130 names in 2 registries, and IAM takes 6144$/,
    );
  });

  it("have the room that infra/README.md says: names of 29 characters in one registry, in two, and to push to", () => {
    const names = (count: number): string[] =>
      Array.from({ length: count }, (_, index) => `${"a".repeat(27)}${String(index + 10)}`);
    const registries = [hostOf(other, "eu-central-1")];
    const cases: [count: number, configOf: (count: number) => Values][] = [
      [71, (count) => ({ pullRepositories: names(count) })],
      [35, (count) => ({ pullRepositories: names(count), registries })],
      [33, (count) => ({ pullRepositories: [], pushRepositories: names(count) })],
    ];
    for (const [count, configOf] of cases) {
      assert.deepEqual(mistakesOf(configOf(count)), []);
      assert.equal(mistakesOf(configOf(count + 1)).length, 1);
    }
  });

  it("are reported together with all other mistakes", () => {
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
    const reported = mistakesOf(wrong).map((line) => /^ecr-helper:(\w+)/.exec(line)?.[1]);
    assert.deepEqual(reported.sort(), Object.keys(wrong).sort());
  });
});
