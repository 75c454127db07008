// What the stack makes of its groups: roles, rights, and the names of secrets in their namespaces.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mistakesOf } from "../support/config-error.ts";
import { pullActions } from "../support/ecr-actions.ts";
import { account, runProgram, type Program } from "../support/program.ts";

const cluster = { kubeconfig: "Pulumi.yaml" };
const ownHost = `${account}.dkr.ecr.eu-central-1.amazonaws.com`;
const elsewhere = `${account}.dkr.ecr.us-east-1.amazonaws.com`;
const host = "444455556666.dkr.ecr.us-east-1.amazonaws.com";
const roleArn = "arn:aws:iam::444455556666:role/pulls";
const [roleOfA, root] = [`arn:aws:iam::${account}:role/ecr-helper-a`, `arn:aws:iam::${account}:root`];
const a = {
  name: "a",
  namespaces: ["team-a"],
  pullRepositories: ["base/*"],
  pushRepositories: ["team-a/*"],
  registries: [elsewhere, "public.ecr.aws"],
};
const b = { name: "b", namespaces: ["team-*"], registries: [{ host, roleArn, externalId: "id" }] };
const config = {
  ...cluster,
  buildNamespaces: '["team-a","team-b","default"]',
  groups: JSON.stringify([a, b]),
};
const program = await runProgram(config);

interface Statement {
  readonly Sid: string;
  readonly Effect: string;
  readonly Resource: string[];
  readonly Action: string[];
}
const statementsOf = (of: Program, policy: string): Statement[] => {
  const { inputs } = of.find("aws:iam/policy:Policy", policy);
  return (JSON.parse(String(inputs["policy"])) as { Statement: Statement[] }).Statement;
};
const arn = (region: string, name: string): string => `arn:aws:ecr:${region}:${account}:repository/${name}`;

describe("the role of a group", () => {
  it("may pull and push what the group's own lists have, in its own registries, and never the helper's image", () => {
    const [token, pull, push, keep, publicToken, ...more] = statementsOf(program, "ecr-helper-policy-a");
    assert.deepEqual(token?.Action, ["ecr:GetAuthorizationToken"]);
    const both = (name: string): string[] => [arn("eu-central-1", name), arn("us-east-1", name)];
    assert.deepEqual(pull?.Resource.toSorted(), [...both("base/*"), ...both("team-a/*")].toSorted());
    assert.deepEqual(pull.Action, pullActions);
    assert.deepEqual([push?.Sid, push?.Resource], ["PushImages", both("team-a/*")]);
    assert.deepEqual([keep?.Effect, keep?.Resource], ["Deny", [arn("eu-central-1", "ecr-helper")]]);
    assert.equal(publicToken?.Sid, "ECRPublicToken");
    assert.deepEqual(more, []);
  });

  it("has no right to push without repositories to push to, and a cache's rights with those", async () => {
    const groups = JSON.stringify([{ name: "c", namespaces: ["default"], pullThroughCache: ["hub/*"] }]);
    const policy = statementsOf(await runProgram({ ...cluster, groups }), "ecr-helper-policy-c");
    assert.deepEqual(
      policy.map(({ Sid, Resource }) => [Sid, ...Resource]),
      [
        ["ECRKnativeToken", "*"],
        ["PullImages", arn("eu-central-1", "hub/*")],
        ["PullThroughCache", arn("eu-central-1", "hub/*")],
      ],
    );
  });

  it("trusts the helper only, with the stack's path, boundary and tags, and has its policy alone", async () => {
    const permissionsBoundary = `arn:aws:iam::${account}:policy/limit`;
    const options = { permissionsBoundary, path: "/builds/", tags: '["team=build"]' };
    const { find, outputs } = await runProgram({ ...config, ...options });
    const { inputs } = find("aws:iam/role:Role", "ecr-helper-a");
    assert.deepEqual([inputs["permissionsBoundary"], inputs["path"]], [permissionsBoundary, "/builds/"]);
    assert.deepEqual(inputs["tags"], { team: "build" });
    const { Statement } = JSON.parse(String(inputs["assumeRolePolicy"])) as { Statement: object[] };
    const Condition = { ArnEquals: { "aws:PrincipalArn": `arn:aws:iam::${account}:user/builds/ecr-helper` } };
    assert.deepEqual(Statement, [{ Effect: "Allow", Principal: { AWS: root }, Action: ["sts:AssumeRole"], Condition }]);
    const attachment = find("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "ecr-helper-a-ecr-helper-policy-a");
    assert.deepEqual(attachment.inputs, {
      role: "ecr-helper-a",
      policyArn: `arn:aws:iam::${account}:policy/builds/ecr-helper-policy-a`,
    });
    assert.deepEqual(outputs["groupRoleArns"], { a: `arn:aws:iam::${account}:role/builds/ecr-helper-a` });
  });

  it("is not made for a group without lists, and there is no output without a role", async () => {
    assert.ok(!program.resources.some(({ name }) => name === "ecr-helper-b"));
    const { outputs } = await runProgram({ ...config, groups: JSON.stringify([b]) });
    assert.ok(!("groupRoleArns" in outputs));
    assert.ok(!("groupRoleArns" in (await runProgram(cluster)).outputs));
  });
});

describe("the helper of a stack with groups", () => {
  it("may assume exactly their roles, whose trust policies are outputs, and its own rights do not grow", async () => {
    const rest = (of: Program): object[] => statementsOf(of, "ecr-helper-policy").slice(2);
    const allow = { Effect: "Allow", Action: ["sts:AssumeRole"] };
    assert.deepEqual(rest(program), [
      { Sid: "AssumeGroupRoles", Resource: [roleOfA], ...allow },
      { Sid: "AssumeRegistryRoles", Resource: [roleArn], ...allow },
    ]);
    assert.deepEqual(statementsOf(program, "ecr-helper-policy")[1]?.Resource, [arn("eu-central-1", "*")]);
    assert.deepEqual(Object.keys(program.outputs["registryTrustPolicies"] as object), [roleArn]);
    const registries = JSON.stringify([{ host, roleArn, externalId: "id" }]);
    assert.deepEqual(rest(await runProgram({ ...config, registries })), rest(program), "a role is named once");
    const podIdentity = await runProgram({ ...config, kubeconfig: "", eksCluster: "main", identity: "podIdentity" });
    assert.deepEqual(statementsOf(podIdentity, "ecr-helper-policy")[2]?.Action, ["sts:AssumeRole", "sts:TagSession"]);
  });

  it("is told each group's namespaces and logins, that of its own role for the stack's own registry first", () => {
    const { spec } = program.find("kubernetes:apps/v1:Deployment").inputs as {
      spec: { template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } };
    };
    const env = spec.template.spec.containers.flatMap((one) => one.env);
    const own = (one: string): object => ({ host: one, roleArn: roleOfA, sessionTags: {} });
    assert.deepEqual(JSON.parse(env.find(({ name }) => name === "ECR_HELPER_GROUPS")?.value ?? ""), [
      { name: "a", namespaces: ["team-a"], registries: [ownHost, elsewhere, "public.ecr.aws"].map(own) },
      { name: "b", namespaces: ["team-*"], registries: [{ host, roleArn, externalId: "id", sessionTags: {} }] },
    ]);
  });

  it("needs of a VPC endpoint what the groups' logins need", () => {
    const { groups } = config;
    const awsEndpointUrl = "https://vpce-1.api.ecr.eu-central-1.vpce.amazonaws.com";
    const [endpoint = "", sts = "", ...more] = mistakesOf({ ...config, groups, awsEndpointUrl });
    assert.match(endpoint, /awsEndpointUrl = .*: expected an endpoint that serves us-east-1, ECR Public, too/);
    assert.match(sts, /^ecr-helper:stsEndpointUrl = /);
    assert.deepEqual(more, []);
  });

  it("has a policy that must have room for all their roles", () => {
    const many = Array.from({ length: 60 }, (_, index) => ({
      ...{ name: `g${String(index)}`, namespaces: [`n${String(index)}`], pullRepositories: ["xx"] },
    }));
    const long = { buildNamespaces: ["*"], path: `/${"p".repeat(80)}/`, groups: JSON.stringify(many) };
    assert.match(mistakesOf(long).join("\n"), /^ecr-helper:groups = \[60 entries\]: .* for 60 roles and .* 6144$/);
  });
});

type Rules = { readonly resources?: string[]; readonly resourceNames?: string[]; readonly verbs: string[] }[];
const secretRulesIn = (of: Program, namespace: string | undefined): string[][] => {
  const role = of.resources.find(
    ({ type, name, inputs }) =>
      (namespace === undefined ? name.endsWith("-everywhere") : type.endsWith("v1:Role")) &&
      (inputs["metadata"] as { namespace?: string }).namespace === namespace,
  );
  const rules = role?.inputs["rules"] as Rules;
  return rules.filter(({ resources }) => resources?.[0] === "secrets").map(({ resourceNames = [] }) => resourceNames);
};

describe("the names of the secrets in a stack with groups", () => {
  const secrets = JSON.stringify([
    { name: "own", data: { a: "${auth}" } },
    { name: "of-b", registry: host, data: { a: "${auth}" } },
  ]);
  const hashed = (names: string[] = []): string[] => names.map((one) => one.replace(/[0-9a-f]{8}$/, "HASH"));
  const ofA = ["ecr-creds", "ecr-creds-us-east-1", "ecr-creds-public"];

  it("are those of its group in a namespace, and the stack's in one of no group", async () => {
    const made = await runProgram({ ...config, secrets });
    const namesIn = (namespace: string): string[] => hashed(secretRulesIn(made, namespace)[0]);
    assert.deepEqual(namesIn("team-a"), [...ofA, "ecr-creds-pull", "own"]);
    assert.deepEqual(namesIn("team-b"), ["ecr-creds", "ecr-creds-pull", "of-b"]);
    assert.deepEqual(namesIn("default"), ["ecr-creds", "ecr-creds-pull", "own"]);
  });

  it("are all of them where patterns include namespaces", async () => {
    const everywhere = await runProgram({ ...config, secrets, buildNamespaces: '["*"]' });
    assert.deepEqual(secretRulesIn(everywhere, undefined).map(hashed), [[...ofA, "ecr-creds-pull", "own", "of-b"]]);
  });

  it("have the groups' tokens in the helper's own namespace, for the next helper to read", async () => {
    const own = ["ecr-creds-pull", "ecr-creds-pull.a", "ecr-creds-pull.b"];
    assert.deepEqual(secretRulesIn(program, "ecr-helper"), [own, own]);
    const pushing = await runProgram({ ...config, pushRepositories: '["x/*"]' });
    assert.deepEqual(secretRulesIn(pushing, "ecr-helper"), [
      ["ecr-creds", ...own],
      ["ecr-creds", ...own],
    ]);
    const builds = await runProgram({ ...config, secrets, buildNamespaces: '["ecr-helper","team-a","team-b"]' });
    assert.deepEqual(secretRulesIn(builds, "ecr-helper"), [
      ["ecr-creds", "ecr-creds-pull", "own", "ecr-creds-pull.a", "ecr-creds-pull.b"],
      own,
    ]);
  });

  it("are in roles of other names when the groups' names, namespaces or logins change", async () => {
    const roleFor = async (groups: object[], more: Record<string, string> = {}): Promise<string> => {
      const { resources } = await runProgram({ ...config, ...more, groups: JSON.stringify(groups) });
      return resources.find(({ type }) => type.endsWith("v1:Role"))?.name ?? assert.fail();
    };
    const names = [
      await roleFor([]),
      await roleFor([a, b]),
      await roleFor([{ ...a, name: "c" }, b]),
      await roleFor([{ ...a, namespaces: ["team-a", "default"] }, b]),
      await roleFor([{ ...a, registries: [elsewhere] }, b]),
      await roleFor([a, b], { roleName: "other" }),
      await roleFor([a, b], { secrets }),
      await roleFor([a, b], { secrets: secrets.replace(host, elsewhere) }),
    ];
    assert.equal(new Set(names).size, names.length);
    assert.equal(await roleFor([{ ...a, pullRepositories: ["other"] }, b]), names[1]);
  });

  it("are taken: neither the pull secret nor a further one can have a name of theirs", () => {
    const groups = JSON.stringify([{ ...a, name: "x" }, b]);
    const taken = (name: string): string[] =>
      mistakesOf({ ...config, groups, secrets: JSON.stringify([{ name, data: { a: "${auth}" } }]) });
    const [login = ""] = secretRulesIn(program, "team-a")[0]?.slice(1) ?? [];
    for (const name of ["ecr-creds-pull.x", "ecr-creds-pull.b"])
      assert.match(
        taken(name).join(),
        /secrets\[0\]\.name = .*: expected another name: basicAuthSecret, pullSecret or/,
      );
    assert.deepEqual(taken("ecr-creds-pull.a"), []);
    assert.match(
      mistakesOf({ ...config, pullSecret: login }).join(),
      /pullSecret = .*: expected another name: a further/,
    );
    const dotted = { ...config, basicAuthSecret: "c.a", pullSecret: "c" };
    assert.match(mistakesOf(dotted).join(), /pullSecret = "c": expected another name: a login for builds has this one/);
    const long = mistakesOf({ ...config, pullSecret: "p".repeat(252) });
    assert.match(long.join(), /pullSecret = .*: expected a shorter name: \. and the name of each of the groups/);
  });

  it("are known to the admission policies: the groups' tokens are a docker config in the helper's own namespace", () => {
    const specOf = (resource: string): string =>
      JSON.stringify(
        program.find("kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy", `ecr-helper-${resource}`)
          .inputs["spec"],
      ).replaceAll('\\"', '"');
    const [secretsSpec, accounts] = [specOf("secrets"), specOf("serviceaccounts")];
    const logins = secretRulesIn(program, "team-a")[0]?.slice(0, -1) ?? [];
    const list = JSON.stringify(logins);
    for (const part of [
      '!(object.metadata.name in ["ecr-creds-pull","ecr-creds-pull.a","ecr-creds-pull.b"])',
      `!(object.metadata.name in ${list})`,
      'request.namespace == "ecr-helper" || (variables.isBuild && !(object.metadata.name in ["ecr-creds-pull.a","ecr-creds-pull.b"]))',
    ])
      assert.ok(secretsSpec.includes(part), part);
    assert.ok(accounts.includes(JSON.stringify([...logins, "ecr-creds-pull"])));
  });
});
