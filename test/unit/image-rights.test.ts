import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { helperPolicy, pushPolicy, type ImageRights } from "../../infra/image-rights.ts";
import { pullActions, pushActions } from "../support/ecr-actions.ts";
import { matchesArn } from "../support/iam-pattern.ts";
import { account, ownRegistry } from "../support/program.ts";

const other = "444455556666";

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
  { partition: "aws-eusc", region: "eusc-de-east-1", further: "eusc-de-east-2", suffix: "amazonaws.eu" },
  { partition: "aws-iso-b", region: "us-isob-east-1", further: "us-isob-west-1", suffix: "sc2s.sgov.gov" },
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

    it(`in ${partition} allows what each combination of keys lists, in the stack's own registry`, () => {
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
        const assumed = { Sid: "AssumePushRole", Resource: pushing ? [pushRole] : [], Action: ["sts:AssumeRole"] };
        assert.deepEqual(helperPolicy(rights(given), [assumed]), policyOf(...pulling, ...(pushing ? [assume] : [])));
        if (pushing) assert.deepEqual(pushPolicy(rights(given)), policyOf(...pulling, ...pushing, keep));
      }
    });

    it(`in ${partition} applies a pattern to every configured registry, an ARN to its own, and a cache to the stack's account`, () => {
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
        "* covers all other entries",
      );
    });
  }

  it("lists nothing twice, and nothing that another pattern of the same registry covers", () => {
    const host = `${account}.dkr.ecr.eu-central-1.amazonaws.com`;
    const arn = (name: string): string => `arn:aws:ecr:eu-central-1:${account}:repository/${name}`;
    const cases: [names: string[], remaining: string[]][] = [
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
    for (const [pullRepositories, remaining] of cases) {
      const rights = { own: ownRegistry, repositoryName: "ecr-helper", registries: [host, host], pullRepositories };
      const policy = helperPolicy({ ...rights, pushRepositories: [], pullThroughCache: [] }, undefined);
      assert.deepEqual(policy.Statement[1]?.Resource, remaining.map(arn));
    }
  });
});

/** Whether a resource of a policy matches the repository in the stack's own registry. */
const matchesRepository = (resource: string, repository: string): boolean =>
  matchesArn(resource, `arn:aws:ecr:eu-central-1:${account}:repository/${repository}`);

describe("the pulling statement", () => {
  it("matches what its patterns match, although it leaves out those that others cover", () => {
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
            matchesRepository(`arn:aws:ecr:eu-central-1:${account}:repository/${one}`, repository),
          );
          assert.equal(
            policy.Statement[1]?.Resource.some((one) => matchesRepository(one, repository)),
            inList,
          );
        },
      ),
      { numRuns: 2000 },
    );
  });
});
