import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import { helperPolicy, pushPolicy, type HelperPolicy, type ImageRights } from "../../infra/image-rights.ts";
import type { Registry } from "../../infra/registry.ts";
import { pullActions, pushActions } from "../support/ecr-actions.ts";
import { account, configure, ownRegistry } from "../support/program.ts";

const refuse = (): never => assert.fail("a policy registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

const other = "444455556666";
const cluster = { kubeconfig: "Pulumi.yaml" };

const tokens = { Sid: "ECRKnativeToken", Effect: "Allow", Resource: ["*"], Action: ["ecr:GetAuthorizationToken"] };
const actions = {
  PullImages: pullActions,
  PushImages: pushActions,
  PullThroughCache: ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"],
};
const allow = (Sid: keyof typeof actions, Resource: string[]): object => ({
  Sid,
  Effect: "Allow",
  Resource,
  Action: actions[Sid],
});
const uploads = actions.PushImages.filter((one) => !actions.PullImages.includes(one));
const pushRole = `arn:aws:iam::${account}:role/ecr-helper-push`;
const assume = { Sid: "AssumePushRole", Effect: "Allow", Resource: [pushRole], Action: ["sts:AssumeRole"] };
const policyOf = (...statements: object[]): object => ({ Version: "2012-10-17", Statement: [tokens, ...statements] });

/** Each partition with two of its regions. */
const partitions = [
  { partition: "aws", region: "eu-central-1", further: "us-east-1", suffix: "amazonaws.com" },
  { partition: "aws-cn", region: "cn-north-1", further: "cn-northwest-1", suffix: "amazonaws.com.cn" },
  { partition: "aws-us-gov", region: "us-gov-west-1", further: "us-gov-east-1", suffix: "amazonaws.com" },
];

describe("the helper's policy", () => {
  for (const { partition, region, further, suffix } of partitions) {
    const own = { partition, accountId: account, region };
    const arn = (name: string, inRegion = region, accountId = account): string =>
      `arn:${partition}:ecr:${inRegion}:${accountId}:repository/${name}`;
    const rights = (given: Partial<ImageRights>): ImageRights => ({
      own,
      repositoryName: "ecr-helper",
      registries: [],
      pullRepositories: [],
      pushRepositories: [],
      pullThroughCache: [],
      ...given,
    });
    const keep = { Sid: "KeepHelperImage", Effect: "Deny", Resource: [arn("ecr-helper")], Action: uploads };
    const registries = [`${account}.dkr.ecr.${further}.${suffix}`, `${other}.dkr.ecr.${region}.${suffix}`];

    it(`in ${partition} opens what each combination of keys names, in the own registry`, () => {
      const [pullRepositories, pushRepositories, pullThroughCache] = [["a", "b-*"], ["c/?"], ["hub/*"]];
      const pull = (...names: string[]): object =>
        allow(
          "PullImages",
          ["ecr-helper", ...names].map((one) => arn(one)),
        );
      const push = [allow("PushImages", [arn("c/?")])];
      const cache = allow("PullThroughCache", [arn("hub/*")]);
      const cases: [Partial<ImageRights>, object[], object[]?][] = [
        [{}, [pull()]],
        [{ pullRepositories }, [pull("a", "b-*")]],
        [{ pushRepositories }, [pull("c/?")], push],
        [{ pullThroughCache }, [pull("hub/*"), cache]],
        [{ pullRepositories, pushRepositories }, [pull("a", "b-*", "c/?")], push],
        [{ pullRepositories, pullThroughCache }, [pull("a", "b-*", "hub/*"), cache]],
        [{ pushRepositories, pullThroughCache }, [pull("c/?", "hub/*"), cache], push],
        [{ pullRepositories, pushRepositories, pullThroughCache }, [pull("a", "b-*", "c/?", "hub/*"), cache], push],
        [
          { pullRepositories: ["*"], pushRepositories: ["*"] },
          [allow("PullImages", [arn("*")])],
          [allow("PushImages", [arn("*")])],
        ],
      ];
      for (const [given, pulling, pushing] of cases) {
        const role = pushing && { role: pushRole, actions: ["sts:AssumeRole"] };
        assert.deepEqual(helperPolicy(rights(given), role), policyOf(...pulling, ...(pushing ? [assume] : [])));
        if (pushing) assert.deepEqual(pushPolicy(rights(given)), policyOf(...pulling, ...pushing, keep));
      }
    });

    it(`in ${partition} means a pattern in every registry that is named, an ARN in its own, a cache in the own account`, () => {
      const given = {
        registries,
        pullRepositories: ["team-*", arn("shared", region, other)],
        pushRepositories: [arn("apps/*", further)],
        pullThroughCache: ["hub/*", arn("quay/*", further)],
      };
      assert.deepEqual(
        pushPolicy(rights(given)),
        policyOf(
          allow("PullImages", [
            arn("ecr-helper"),
            arn("team-*"),
            arn("hub/*"),
            arn("team-*", further),
            arn("apps/*", further),
            arn("hub/*", further),
            arn("quay/*", further),
            arn("team-*", region, other),
            arn("shared", region, other),
          ]),
          allow("PullThroughCache", [arn("hub/*"), arn("hub/*", further), arn("quay/*", further)]),
          allow("PushImages", [arn("apps/*", further)]),
          keep,
        ),
      );
      assert.deepEqual(
        helperPolicy(
          rights({ registries, pullRepositories: ["*", "team-*", arn("shared", region, other)] }),
          undefined,
        ),
        policyOf(allow("PullImages", [arn("*"), arn("*", further), arn("*", region, other)])),
        "* covers the rest",
      );
    });
  }

  it("names nothing twice, and nothing that another pattern of the same registry covers", () => {
    const host = `${account}.dkr.ecr.eu-central-1.amazonaws.com`;
    const arn = (name: string): string => `arn:aws:ecr:eu-central-1:${account}:repository/${name}`;
    const cases: [names: string[], left: string[]][] = [
      [
        ["a", "a", arn("a")],
        ["ecr-helper", "a"],
      ],
      [
        ["ecr-*", "a**", "a*"],
        ["ecr-*", "a**"],
      ],
      [
        ["team-?", "team-*", "team-x"],
        ["ecr-helper", "team-*"],
      ],
      [
        ["team-?", "team-x", "team-xy"],
        ["ecr-helper", "team-?", "team-xy"],
      ],
      [
        ["a?", "a*?"],
        ["ecr-helper", "a*?"],
      ],
      [
        ["a??", "a*x"],
        ["ecr-helper", "a??", "a*x"],
      ],
    ];
    for (const [pullRepositories, left] of cases) {
      const rights = { own: ownRegistry, repositoryName: "ecr-helper", registries: [host, host], pullRepositories };
      const policy = helperPolicy({ ...rights, pushRepositories: [], pullThroughCache: [] }, undefined);
      assert.deepEqual(policy.Statement[1]?.Resource, left.map(arn));
    }
  });
});

describe("the pulling statement", () => {
  it("means what its patterns mean, whichever of them it leaves out", () => {
    const short = (...letters: string[]): fc.Arbitrary<string> =>
      fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(
        fc.array(short("a", "b", "*", "?"), { maxLength: 5 }),
        short("a", "b"),
        (pullRepositories, repository) => {
          const rights = { own: ownRegistry, repositoryName: "ecr-helper", registries: [], pullRepositories };
          const policy = helperPolicy({ ...rights, pushRepositories: [], pullThroughCache: [] }, undefined);
          const inList = pullRepositories.some((one) =>
            means(`arn:aws:ecr:eu-central-1:${account}:repository/${one}`, repository),
          );
          assert.equal(
            policy.Statement[1]?.Resource.some((one) => means(one, repository)),
            inList,
          );
        },
      ),
      { numRuns: 2000 },
    );
  });
});

const name = fc.stringMatching(/^[a-z*?][a-z0-9*?]{1,8}(?:[-/._][a-z*?]{1,4}){0,2}$/);
const often = (right: fc.Arbitrary<string>, ...wrong: string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 40, arbitrary: right }, { weight: 1, arbitrary: fc.constantFrom(...wrong) });

/** Hosts of registries and where these are, as AWS documents them. The first one of a partition is the stack's own there. */
const table = [
  ["123456789012.dkr.ecr.eu-central-1.amazonaws.com", "aws", "eu-central-1", account],
  ["123456789012.dkr.ecr.us-east-1.amazonaws.com", "aws", "us-east-1", account],
  ["444455556666.dkr.ecr.us-east-1.amazonaws.com", "aws", "us-east-1", other],
  ["444455556666.dkr.ecr.eu-west-1.amazonaws.com", "aws", "eu-west-1", other],
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
].map(([host = "", partition = "", region = "", accountId = ""]) => ({ host, partition, region, accountId }));
const tablePartitions = [...new Set(table.map(({ partition }) => partition))];
const inTable = (host: string): (typeof table)[number] => table.find((one) => one.host === host) ?? assert.fail(host);

/** Hosts of nobody, or of somebody else. */
const strangers = ["444455556666.dkr.ecr.us-east-1.evil.example", "444455556666.dkr.ecr.us-east-1.amazonaws.com.cn"];

/** ARNs in one of some registries, mostly: now and then a part is another one. */
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

/** The registry that a stack in a partition is in, and a configuration there. */
const configuration = fc.constantFrom(...tablePartitions).chain((partition) => {
  const there = table.filter((one) => one.partition === partition);
  const elsewhere = table.filter((one) => one.partition !== partition).map(({ host }) => host);
  const own = there[0] ?? assert.fail(partition);
  const host = often(fc.constantFrom(...there.map((one) => one.host)), ...elsewhere, ...strangers);
  return fc.array(host, { maxLength: 8 }).chain((registries) => {
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

describe("a policy of any configuration that is accepted", () => {
  it("is on named partitions, regions and accounts alone, has the own repository, and is not too large", (t) => {
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
          pull.Resource.some((one) => means(one, given.repositoryName, own)),
          "the own repository",
        );
        assert.ok(JSON.stringify(policy).length <= 6144);
        return true;
      }),
      { numRuns: 1000 },
    );
    t.diagnostic(`of 1000 were accepted: ${JSON.stringify(Object.fromEntries(accepted))}`);
    for (const partition of tablePartitions) assert.ok((accepted.get(partition) ?? 0) > 30, partition);
  });
});

/** That what is pushed to is pulled from, too: a name that each of the patterns means. */
function assertPulledToo({ Statement }: HelperPolicy): void {
  const of = (sid: string): readonly string[] => Statement.find(({ Sid }) => Sid === sid)?.Resource ?? [];
  for (const pushed of of("PushImages")) {
    const one = pushed.replaceAll("*", "x").replaceAll("?", "y");
    assert.ok(
      of("PullImages").some((resource) => meansArn(resource, one)),
      pushed,
    );
  }
}

/** Whether an ARN of a policy means the repository of the own registry. */
const means = (resource: string, repository: string, { partition, region }: Registry = ownRegistry): boolean =>
  meansArn(resource, `arn:${partition}:ecr:${region}:${account}:repository/${repository}`);

function meansArn(resource: string, arn: string): boolean {
  const pattern = resource
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${pattern}$`).test(arn);
}
