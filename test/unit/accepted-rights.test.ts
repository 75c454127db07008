import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import { pushPolicy, type HelperPolicy } from "../../infra/image-rights.ts";
import type { Registry } from "../../infra/registry.ts";
import { matchesArn } from "../support/iam-pattern.ts";
import { account, configure } from "../support/program.ts";

const refuse = (): never => assert.fail("a policy registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

const other = "444455556666";
const cluster = { kubeconfig: "Pulumi.yaml" };
const tokens = { Sid: "ECRKnativeToken", Effect: "Allow", Resource: ["*"], Action: ["ecr:GetAuthorizationToken"] };

const name = fc.stringMatching(/^[a-z*?][a-z0-9*?]{1,8}(?:[-/._][a-z*?]{1,4}){0,2}$/);
const often = (right: fc.Arbitrary<string>, ...wrong: string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 40, arbitrary: right }, { weight: 1, arbitrary: fc.constantFrom(...wrong) });

/** Hosts of registries and where they are, as AWS documents them. The first of each partition is the stack's own there. */
const table = [
  ["123456789012.dkr.ecr.eu-central-1.amazonaws.com", "aws", "eu-central-1", account],
  ["123456789012.dkr.ecr.us-east-1.amazonaws.com", "aws", "us-east-1", account],
  ["444455556666.dkr.ecr.us-east-1.amazonaws.com", "aws", "us-east-1", other],
  ["444455556666.dkr.ecr.eu-west-1.amazonaws.com", "aws", "eu-west-1", other],
  ["123456789012.dkr-ecr.eu-central-1.on.aws", "aws", "eu-central-1", account],
  ["444455556666.dkr.ecr-fips.us-east-1.amazonaws.com", "aws", "us-east-1", other],
  ["444455556666.dkr-ecr-fips.us-east-1.on.aws", "aws", "us-east-1", other],
  ["123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "aws-cn", "cn-north-1", account],
  ["123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn", "aws-cn", "cn-northwest-1", account],
  ["444455556666.dkr.ecr.cn-north-1.amazonaws.com.cn", "aws-cn", "cn-north-1", other],
  ["123456789012.dkr.ecr.us-gov-west-1.amazonaws.com", "aws-us-gov", "us-gov-west-1", account],
  ["444455556666.dkr.ecr.us-gov-east-1.amazonaws.com", "aws-us-gov", "us-gov-east-1", other],
  ["123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "aws-iso", "us-iso-east-1", account],
  ["444455556666.dkr.ecr.us-iso-west-1.c2s.ic.gov", "aws-iso", "us-iso-west-1", other],
  ["123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "aws-iso-b", "us-isob-east-1", account],
  ["444455556666.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "aws-iso-b", "us-isob-east-1", other],
  ["123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "aws-eusc", "eusc-de-east-1", account],
  ["444455556666.dkr.ecr.eusc-de-east-1.amazonaws.eu", "aws-eusc", "eusc-de-east-1", other],
  ["444455556666.dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu", "aws-eusc", "eusc-de-east-1", other],
].map(([host = "", partition = "", region = "", accountId = ""]) => ({ host, partition, region, accountId }));
const tablePartitions = [...new Set(table.map(({ partition }) => partition))];
const inTable = (host: string): (typeof table)[number] => table.find((one) => one.host === host) ?? assert.fail(host);

/** Hosts that are not of AWS, or of another partition. */
const strangers = [
  "444455556666.dkr.ecr.us-east-1.evil.example",
  "444455556666.dkr.ecr.us-east-1.amazonaws.com.cn",
  "444455556666.dkr-ecr.us-east-1.amazonaws.com",
];

/** ARNs that are mostly in one of the registries; rarely one of their parts is wrong. */
const arnIn = (registries: readonly Registry[]): fc.Arbitrary<string> =>
  fc
    .constantFrom(...registries)
    .chain(({ partition, region, accountId }) =>
      fc
        .tuple(
          often(fc.constant(partition), "aws-iso-f", "*", ""),
          often(fc.constant(region), "eu-*", "ap-south-1", "", "a:b"),
          often(fc.constant(accountId), "*", "000000000000", ""),
          name,
        )
        .map(([p, r, a, repository]) => `arn:${p}:ecr:${r}:${a}:repository/${repository}`),
    );

/** A stack's own registry in any partition, and a configuration for it. */
const configuration = fc.constantFrom(...tablePartitions).chain((partition) => {
  const there = table.filter((one) => one.partition === partition);
  const elsewhere = table.filter((one) => one.partition !== partition).map(({ host }) => host);
  const own = there[0] ?? assert.fail(partition);
  const host = often(fc.constantFrom(...there.map((one) => one.host)), ...elsewhere, ...strangers);
  // The role of some registries has rights of its own there.
  const roleArn = `arn:${partition}:iam::${other}:role/pulls`;
  const registry = fc.tuple(host, fc.nat({ max: 3 })).map(([one, n]) => (n === 0 ? { host: one, roleArn } : one));
  return fc.array(registry, { maxLength: 8 }).chain((registries) => {
    const named = [own, ...there.filter((one) => registries.includes(one.host))];
    const anywhere = fc.array(fc.oneof(name, arnIn(named), fc.constant("*")), { maxLength: 8 });
    const inOwnAccount = arnIn(named.filter(({ accountId }) => accountId === account));
    const given = fc.record({
      registries: fc.constant(registries),
      pullRepositories: anywhere,
      pushRepositories: anywhere,
      pullThroughCache: fc.array(fc.oneof(name, inOwnAccount), { maxLength: 4 }),
      repositoryName: fc.constantFrom("ecr-helper", "builds/ecr-helper"),
    });
    return fc.tuple(fc.constant(own), given);
  });
});

describe("the policy for any accepted configuration", () => {
  it("names only configured partitions, regions and accounts, includes the stack's own repository, and fits", (t) => {
    const accepted = new Map<string, number>();
    fc.assert(
      fc.property(configuration, ([{ host, ...own }, given]) => {
        const lists = Object.entries(given).map(([key, value]) => [
          key,
          typeof value === "string" ? value : JSON.stringify(value),
        ]);
        configure({ ...cluster, ...(Object.fromEntries(lists) as Record<string, string>) });
        let config;
        try {
          config = readConfig(own);
        } catch (error) {
          return pulumi.RunError.isInstance(error);
        }
        accepted.set(own.partition, (accepted.get(own.partition) ?? 0) + 1);
        const policy = pushPolicy({ ...config, own });
        const [first, pull, ...more] = policy.Statement;
        assert.deepEqual(first, tokens);
        assert.equal(pull?.Sid, "PullImages");
        const named = [host, ...config.registries]
          .map(inTable)
          .map(({ partition, region, accountId }) => `${partition}:ecr:${region}:${accountId}`);
        assertPulledToo(policy);
        for (const { Resource, Sid } of [pull, ...more]) {
          for (const one of Resource) {
            const [, registry, repository = ""] = /^arn:([^*?]+):repository\/([^:]+)$/.exec(one) ?? [];
            assert.ok(registry !== undefined && named.includes(registry), one);
            assert.ok(Sid !== "PullThroughCache" || registry.endsWith(account), one);
            assert.ok(repository !== "", one);
          }
          assert.equal(new Set(Resource).size, Resource.length);
        }
        assert.ok(
          pull.Resource.some((one) =>
            matchesArn(one, `arn:${own.partition}:ecr:${own.region}:${account}:repository/${given.repositoryName}`),
          ),
          "the stack's own repository",
        );
        assert.ok(JSON.stringify(policy).length <= 6144);
        return true;
      }),
      { numRuns: 1000 },
    );
    t.diagnostic(`accepted of 1000: ${JSON.stringify(Object.fromEntries(accepted))}`);
    for (const partition of tablePartitions) assert.ok((accepted.get(partition) ?? 0) > 30, partition);
  });
});

/** Asserts that whatever can be pushed to can also be pulled from, by a name that matches each pattern. */
function assertPulledToo({ Statement }: HelperPolicy): void {
  const of = (sid: string): readonly string[] => Statement.find(({ Sid }) => Sid === sid)?.Resource ?? [];
  for (const pushed of of("PushImages")) {
    const one = pushed.replaceAll("*", "x").replaceAll("?", "y");
    assert.ok(
      of("PullImages").some((resource) => matchesArn(resource, one)),
      pushed,
    );
  }
}
