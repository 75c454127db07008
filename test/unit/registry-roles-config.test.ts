// Registries whose tokens a role asks for: the configuration, and what the stack makes of it.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { assertOneMistake, mistakesOf } from "../support/config-error.ts";
import { account, runProgram, type Program } from "../support/program.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

const host = "444455556666.dkr.ecr.us-east-1.amazonaws.com";
const [second, third] = [host.replace("us-east-1", "eu-west-1"), host.replace("444455556666", "777788889999")];
const ownHost = `${account}.dkr.ecr.eu-central-1.amazonaws.com`;
const roleArn = "arn:aws:iam::444455556666:role/pulls/ecr-helper";
const otherRole = "arn:aws:iam::777788889999:role/ecr-helper";
const cluster = { kubeconfig: "Pulumi.yaml" };
const root = { AWS: `arn:aws:iam::${account}:root` };
const only = { ArnEquals: { "aws:PrincipalArn": `arn:aws:iam::${account}:user/ecr-helper` } };

const mistakesIn = (...registries: unknown[]): string[] => mistakesOf({ registries: JSON.stringify(registries) });
const mistake = (value: string, expected: string): string =>
  `ecr-helper:registries = ${JSON.stringify(value)}: expected ${expected}`;

describe("a registry with a role", () => {
  it("is an object with a host and a roleArn, perhaps an externalId and sessionTags", () => {
    const full = { host, roleArn, externalId: "a+=,.@:/-_9", sessionTags: ["team=a", "cost center=b=c", "empty="] };
    for (const entry of [{ host }, { host, roleArn }, full, { ...full, externalId: 12 }, { ...full, sessionTags: [] }])
      assert.deepEqual(mistakesIn(entry), []);
    const ofOwnAccount = `arn:aws:iam::${account}:role/pulls`;
    assert.deepEqual(mistakesIn(second, { host, roleArn }, { host: third, roleArn: ofOwnAccount }), []);
    assert.deepEqual(mistakesIn({ host, roleArn }, { host: second, roleArn }, { host, roleArn }), []);
    assert.deepEqual(mistakesIn({ host, roleArn, externalId: "x".repeat(1224) }), []);
  });

  it("is reported with each field that AWS would refuse", () => {
    const arn = "as roleArn arn:PARTITION:iam::ACCOUNT:role/NAME";
    for (const wrong of ["", "ecr-helper", roleArn.replace("role", "user"), `${roleArn} `, "arn:aws:iam::1:role/a"])
      assert.deepEqual(mistakesIn({ host, roleArn: wrong }), [mistake(wrong, arn)]);
    const id = "as externalId 2 to 1224 letters, digits or _+=,.@:/-";
    for (const wrong of ["", "a", "a b", "ü2", "x".repeat(1225)])
      assert.ok(mistakesIn({ host, roleArn, externalId: wrong })[0]?.endsWith(`: expected ${id}`), wrong);
    assert.deepEqual(mistakesIn({ host, roleArn, externalId: 2 ** 60 }), [mistake(String(2 ** 60), id)]);
    assert.deepEqual(mistakesIn({ host, roleArn: null }), [mistake("null", arn)]);
    const tags =
      "as sessionTags a list of KEY=VALUE, at most 50, with a KEY that does not start with aws: and is not __proto__";
    for (const wrong of ["team", "=a", "aws:team=a", "AWS:team=a", "__proto__=a", "a$=b", `k=${"v".repeat(257)}`])
      assert.deepEqual(mistakesIn({ host, roleArn, sessionTags: ["team=a", wrong] }), [mistake(wrong, tags)]);
    assert.deepEqual(mistakesIn({ host, roleArn, sessionTags: "team=a" }), [mistake('"team=a"', tags)]);
    const many = Array.from({ length: 51 }, (_, index) => `k${String(index)}=v`);
    assert.equal(mistakesIn({ host, roleArn, sessionTags: many }).length, 1);
    assert.deepEqual(mistakesIn({ host, roleArn, sessionTags: ["team=a", "Team=b"] }), [
      mistake("Team", "each KEY of sessionTags once: AWS does not tell case"),
    ]);
  });

  it("has no other fields, and no fields of a role without one", () => {
    const unknown = { host, roleArn, role: "x" };
    const known = "no fields but host, roleArn, externalId, sessionTags";
    assert.deepEqual(mistakesIn(unknown), [mistake(JSON.stringify(unknown), known)]);
    for (const entry of [
      { host, externalId: "12" },
      { host, sessionTags: [] },
    ]) {
      const expected = "a roleArn beside externalId and sessionTags, which are a role's";
      assert.deepEqual(mistakesIn(entry), [mistake(JSON.stringify(entry), expected)]);
    }
    for (const entry of [{ roleArn }, { host: 1 }, 1, null, [host]]) {
      const [line = "", ...more] = mistakesIn(entry);
      assert.match(line, /registries = ".*": expected hosts .*; or \{host, roleArn, externalId, sessionTags\} for one/);
      assert.deepEqual(more, []);
    }
  });

  it("is in the stack's partition, as its role is, and is another one than the stack's own", () => {
    const china = `${host.replace("us-east-1", "cn-north-1")}.cn`;
    assert.match(mistakesIn({ host: china, roleArn }).join("\n"), /a registry in the stack's partition, aws: .*$/);
    const chinese = roleArn.replace("aws", "aws-cn");
    assert.deepEqual(mistakesIn({ host, roleArn: chinese }), [
      mistake(chinese, "a role in the stack's partition, aws: one of aws-cn is unknown there"),
    ]);
    for (const own of [ownHost, ownHost.replace("dkr.ecr", "dkr-ecr").replace("amazonaws.com", "on.aws")])
      assert.deepEqual(mistakesIn({ host: own, roleArn }), [
        mistake(
          own,
          "the host of another registry, or no roleArn: the helper itself logs in to the stack's own registry",
        ),
      ]);
  });

  it("has one login: no host with two identities, and no role with two external ids", () => {
    const once = "each host once, or with the same roleArn: a docker config has one login for it";
    assert.deepEqual(mistakesIn(host, { host, roleArn }), [mistake(host, once)]);
    assert.deepEqual(mistakesIn({ host, roleArn }, { host, roleArn: otherRole }), [mistake(host, once)]);
    const same = "the same externalId and sessionTags with each registry: a role has one token in a region";
    for (const more of [{ externalId: "12" }, { sessionTags: ["a=b"] }])
      assert.deepEqual(mistakesIn({ host, roleArn }, { host: second, roleArn, ...more }), [mistake(roleArn, same)]);
  });

  it("has no tag that a session of EKS Pod Identity passes on", () => {
    const registries = JSON.stringify([{ host, roleArn, sessionTags: ["Kubernetes-Namespace=a", "team=a"] }]);
    assert.deepEqual(mistakesOf({ registries }), []);
    const given = { eksCluster: "main", kubeconfig: "", identity: "podIdentity", registries };
    assert.deepEqual(mistakesOf(given), [
      mistake("Kubernetes-Namespace", "another KEY: sessions of identity podIdentity have that tag, and pass it on"),
    ]);
  });

  it("has neither the helper's image nor a repository of the lists: the role has rights of its own", () => {
    const registries = JSON.stringify([{ host, roleArn }]);
    const image = `${host}/tools/ecr-helper@sha256:${"0".repeat(64)}`;
    assertOneMistake(
      { ...cluster, registries, image },
      `image = "${image}": expected an image in a registry without a`,
    );
    const arn = "arn:aws:ecr:us-east-1:444455556666:repository/app";
    assertOneMistake(
      { ...cluster, registries, pullRepositories: `["${arn}"]` },
      `pullRepositories = "${arn}": expected no ARN in a registry with a roleArn: the policies of that role say`,
    );
  });

  it("needs STS beside a VPC endpoint of ECR, and that endpoint in its own region", () => {
    const vpc = { awsEndpointUrl: "https://vpce-1.api.ecr.eu-central-1.vpce.amazonaws.com" };
    const registries = (of: string): string => JSON.stringify([{ host: of, roleArn }]);
    const here = host.replace("us-east-1", "eu-central-1");
    assertOneMistake(
      { ...cluster, ...vpc, registries: registries(here) },
      'stsEndpointUrl = "": expected https://HOST',
    );
    const sts = { stsEndpointUrl: "https://sts.example" };
    assertOneMistake({ ...cluster, ...vpc, ...sts, registries: registries(host) }, "awsEndpointUrl = ");
  });

  it("must leave room in the policy for the ARN of its role", () => {
    const many = Array.from({ length: 80 }, (_, index) => ({
      host: `${String(100_000_000_000 + index)}.dkr.ecr.us-east-1.amazonaws.com`,
      roleArn: `arn:aws:iam::${String(100_000_000_000 + index)}:role/pulls/${"r".repeat(60)}`,
    }));
    assert.deepEqual(mistakesIn(...many.slice(0, 40)), []);
    assert.match(
      mistakesIn(...many).join("\n"),
      /registries = \[80 entries\]: expected fewer roles, .* characters for 80 roles and .* IAM takes 6144$/,
    );
  });
});

interface Statement {
  readonly Sid: string;
  readonly Resource: string[];
}

const policyOf = (program: Program): Statement[] => {
  const { policy } = program.find("aws:iam/policy:Policy", "ecr-helper-policy").inputs;
  return (JSON.parse(String(policy)) as { Statement: Statement[] }).Statement;
};
const envOf = (program: Program): Record<string, unknown> => {
  const { spec } = program.find("kubernetes:apps/v1:Deployment").inputs as {
    spec: { template: { spec: { containers: { env: { name: string; value?: unknown }[] }[] } } };
  };
  const env = spec.template.spec.containers.flatMap((one) => one.env);
  return Object.fromEntries(env.map(({ name, value }) => [name, value]));
};
const tagged = { host: third, roleArn: otherRole, externalId: "id-1", sessionTags: ["team=a"] };
const registries = JSON.stringify([second, { host, roleArn }, tagged]);

describe("a stack with registries that have roles", () => {
  it("may assume exactly these roles, and may tag sessions of those with tags; its own rights do not grow", async () => {
    const program = await runProgram({ ...cluster, registries });
    const [, pull, ...more] = policyOf(program);
    const arn = (region: string, of: string): string => `arn:aws:ecr:${region}:${of}:repository/*`;
    assert.deepEqual(pull?.Resource, [arn("eu-central-1", account), arn("eu-west-1", "444455556666")]);
    assert.deepEqual(more, [
      { Sid: "AssumeRegistryRoles", Effect: "Allow", Resource: [roleArn, otherRole], Action: ["sts:AssumeRole"] },
      { Sid: "TagRegistrySessions", Effect: "Allow", Resource: [otherRole], Action: ["sts:TagSession"] },
    ]);
    const { crossAccountPolicy } = program.outputs;
    assert.deepEqual(Object.keys(crossAccountPolicy as object), [second]);
  });

  it("has the trust policy of each role as an output: this user, its external id, its tags", async () => {
    const { outputs } = await runProgram({ ...cluster, registries });
    const allow = { Effect: "Allow", Principal: root };
    const Version = "2012-10-17";
    assert.deepEqual(outputs["registryTrustPolicies"], {
      [roleArn]: { Version, Statement: [{ ...allow, Action: ["sts:AssumeRole"], Condition: only }] },
      [otherRole]: {
        Version,
        Statement: [
          { ...allow, Action: ["sts:AssumeRole"], Condition: { ...only, StringEquals: { "sts:ExternalId": "id-1" } } },
          {
            ...allow,
            Action: ["sts:TagSession"],
            Condition: { ...only, StringEquals: { "aws:RequestTag/team": "a" } },
          },
        ],
      },
    });
    assert.ok(!("registryTrustPolicies" in (await runProgram({ ...cluster, registries: `["${second}"]` })).outputs));
  });

  it("has it for every identity: of EKS Pod Identity the tags may pass, and for node the account decides", async () => {
    const one = JSON.stringify([{ host, roleArn }]);
    const nodes = `["arn:aws:iam::${account}:role/nodes"]`;
    const role = { ArnEquals: { "aws:PrincipalArn": `arn:aws:iam::${account}:role/ecr-helper` } };
    const cases: [config: Record<string, string>, actions: string[], condition: object | undefined][] = [
      [{ eksCluster: "main", identity: "podIdentity" }, ["sts:AssumeRole", "sts:TagSession"], role],
      [{ eksCluster: "main", identity: "irsa" }, ["sts:AssumeRole"], role],
      [{ ...cluster, identity: "kube2iam", trustedPrincipals: nodes }, ["sts:AssumeRole"], role],
      [{ ...cluster, identity: "node" }, ["sts:AssumeRole"], undefined],
    ];
    for (const [config, actions, Condition] of cases) {
      const program = await runProgram({ ...config, registries: one });
      const statements = actions.map((action) => ({
        ...{ Effect: "Allow", Principal: root, Action: [action] },
        ...(Condition && { Condition }),
      }));
      const trust = program.outputs["registryTrustPolicies"] as Record<string, { Statement: unknown }>;
      assert.deepEqual(trust[roleArn]?.Statement, statements, config["identity"]);
      const assumed = policyOf(program).filter(({ Resource }) => Resource.includes(roleArn));
      assert.equal(assumed.length, actions.length);
    }
  });

  it("tells its helper the roles, and lets it keep a secret for builds for each", async () => {
    const program = await runProgram({ ...cluster, registries });
    const env = envOf(program);
    assert.equal(env["ECR_HELPER_REGISTRIES"], [ownHost, second, host, third].join(","));
    assert.deepEqual(JSON.parse(String(env["ECR_HELPER_REGISTRY_ROLES"])), [
      { roleArn, sessionTags: {}, hosts: [host] },
      { roleArn: otherRole, externalId: "id-1", sessionTags: { team: "a" }, hosts: [third] },
    ]);
    const rules = program.resources
      .filter(({ type }) => type === "kubernetes:rbac.authorization.k8s.io/v1:Role")
      .flatMap(({ inputs }) => inputs["rules"] as { resources: string[]; resourceNames?: string[] }[]);
    const lists = rules
      .filter(({ resources }) => resources.includes("secrets"))
      .map((rule) => rule.resourceNames ?? []);
    const names = lists.find(({ length }) => length === 5) ?? assert.fail(JSON.stringify(lists));
    assert.match(
      names.join(),
      /^ecr-creds,ecr-creds-eu-west-1,ecr-creds-us-east-1-[0-9a-f]{8},ecr-creds-us-east-1-[0-9a-f]{8},ecr-creds-pull$/,
    );
    assert.equal(new Set(names).size, 5);
  });
});
