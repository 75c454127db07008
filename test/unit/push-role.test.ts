import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readConfig } from "../../helper/config/helper-config.ts";
import { secretsOf } from "../../helper/resources/secrets.ts";
import type { Secret } from "../../helper/resources/types.ts";
import { accessDeniedHint } from "../../helper/ecr/access-denied.ts";
import type { AuthorizationToken } from "../../helper/ecr/token.ts";
import { decodeTokens } from "../../helper/resources/token-annotation.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { mistakesOf } from "../support/config-error.ts";
import { account, runProgram, type Program, type Registered } from "../support/program.ts";

const cluster = { kubeconfig: "Pulumi.yaml" };
const pushing = { ...cluster, pushRepositories: '["apps/*"]' };
const root = `arn:aws:iam::${account}:root`;
const pushRole = `arn:aws:iam::${account}:role/ecr-helper-push`;

interface Statement {
  readonly Sid: string;
  readonly Effect: string;
  readonly Resource: string[];
  readonly Action: string[];
}

const statementsOf = ({ inputs }: Registered): Statement[] =>
  (JSON.parse(String(inputs["policy"])) as { Statement: Statement[] }).Statement;
const policyNamed = (program: Program, name: string): Statement[] =>
  statementsOf(program.find("aws:iam/policy:Policy", name));
const envOf = (program: Program): Record<string, unknown> => {
  const { inputs } = program.find("kubernetes:apps/v1:Deployment");
  const { spec } = inputs as {
    spec: { template: { spec: { containers: { env: { name: string; value?: unknown }[] }[] } } };
  };
  return Object.fromEntries(
    spec.template.spec.containers.flatMap(({ env }) => env).map((one) => [one.name, one.value]),
  );
};

describe("the push role", () => {
  it("exists when there are push repositories, and then the helper's own user or role has no right to push", async () => {
    const nodes = `["arn:aws:iam::${account}:role/nodes"]`;
    const cases: [config: Record<string, string>, condition: object | undefined][] = [
      [{}, { ArnEquals: { "aws:PrincipalArn": `arn:aws:iam::${account}:user/ecr-helper` } }],
      [
        { identity: "kube2iam", trustedPrincipals: nodes, path: "/a*$/" },
        { ArnEquals: { "aws:PrincipalArn": `arn:aws:iam::${account}:role/a\${*}\${$}/ecr-helper` } },
      ],
      [{ identity: "node" }, undefined],
    ];
    for (const [config, Condition] of cases) {
      const program = await runProgram({ ...pushing, ...config });
      // A pattern would be every role of a similar path.
      const path = (config["path"] ?? "/").replace("*", "${*}").replace(/\$(?!\{)/, () => "${$}");
      const arn = pushRole.replace("role/", () => `role${path}`);
      const { inputs } = program.find("aws:iam/role:Role", "ecr-helper-push");
      const trust = { Effect: "Allow", Principal: { AWS: root }, Action: ["sts:AssumeRole"] };
      assert.deepEqual((JSON.parse(String(inputs["assumeRolePolicy"])) as { Statement: unknown }).Statement, [
        { ...trust, ...(Condition && { Condition }) },
      ]);
      const { role } = program.find(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "ecr-helper-push-ecr-helper-policy-push",
      ).inputs;
      assert.equal(role, "ecr-helper-push");
      const own = policyNamed(program, "ecr-helper-policy");
      assert.ok(!own.some(({ Action }) => Action.includes("ecr:PutImage")));
      assert.deepEqual(own.at(-1), {
        Sid: "AssumePushRole",
        Effect: "Allow",
        Resource: [arn],
        Action: ["sts:AssumeRole"],
      });
      assert.ok(policyNamed(program, "ecr-helper-policy-push").some(({ Sid }) => Sid === "PushImages"));
      assert.equal(envOf(program)["ECR_HELPER_PUSH_ROLE"], program.outputs["pushRoleArn"]);
    }
  });

  it("lets a session of EKS Pod Identity pass its tags on", async () => {
    const program = await runProgram({ eksCluster: "main", identity: "podIdentity", pushRepositories: '["apps/*"]' });
    const both = ["sts:AssumeRole", "sts:TagSession"];
    assert.deepEqual(policyNamed(program, "ecr-helper-policy").at(-1)?.Action, both);
    const { inputs } = program.find("aws:iam/role:Role", "ecr-helper-push");
    const { Statement } = JSON.parse(String(inputs["assumeRolePolicy"])) as { Statement: Statement[] };
    assert.deepEqual(Statement[0]?.Action, both);
  });

  it("does not exist without push repositories, and then the helper may assume no role", async () => {
    const program = await runProgram(cluster);
    assert.ok(!program.resources.some(({ name }) => name.endsWith("-push")));
    assert.ok(!policyNamed(program, "ecr-helper-policy").some(({ Action }) => Action.includes("sts:AssumeRole")));
    assert.ok(!("pushRoleArn" in program.outputs));
  });

  it("has the same permissions boundary, path and tags as the helper's own role", async () => {
    const permissionsBoundary = `arn:aws:iam::${account}:policy/limit`;
    const config = { ...pushing, permissionsBoundary, path: "/builds/", tags: '["team=build"]' };
    const { inputs } = (await runProgram(config)).find("aws:iam/role:Role", "ecr-helper-push");
    assert.deepEqual([inputs["permissionsBoundary"], inputs["path"]], [permissionsBoundary, "/builds/"]);
    assert.deepEqual(inputs["tags"], { team: "build" });
  });

  it("must not push to the repository of the helper's image, even if a pattern includes it", async () => {
    const program = await runProgram({ ...pushing, pushRepositories: '["*"]' });
    const [keep] = policyNamed(program, "ecr-helper-policy-push").filter(({ Effect }) => Effect === "Deny");
    assert.deepEqual(keep?.Resource, [`arn:aws:ecr:eu-central-1:${account}:repository/ecr-helper`]);
    assert.ok(keep.Action.includes("ecr:PutImage"));
    for (const entry of ["ecr-helper", `arn:aws:ecr:eu-central-1:${account}:repository/ecr-helper`]) {
      const [mistake = ""] = mistakesOf({ pushRepositories: [entry] });
      assert.match(mistake, /^ecr-helper:pushRepositories = .*: expected another repository/);
    }
  });

  it("has names that IAM accepts", () => {
    const long = { roleName: "r".repeat(60), policyName: "p".repeat(124) };
    assert.deepEqual(mistakesOf(long), []);
    const mistakes = mistakesOf({ ...long, pushRepositories: ["apps/*"] });
    assert.match(mistakes.join("\n"), /roleName = .*at most 59 characters[^]*policyName = .*at most 123 characters/);
  });

  it("comes with the right to keep the push logins in the helper's own namespace, for the next helper", async () => {
    const rulesOf = async (config: Record<string, string>): Promise<unknown> =>
      (await runProgram(config)).resources.find(
        ({ type, inputs }) =>
          type === "kubernetes:rbac.authorization.k8s.io/v1:Role" &&
          (inputs["metadata"] as { namespace: string }).namespace === "ecr-helper",
      )?.inputs["rules"];
    const [keep, read] = (await rulesOf(pushing)) as { resourceNames: string[]; verbs: string[] }[];
    assert.deepEqual(keep?.resourceNames, ["ecr-creds", "ecr-creds-pull"]);
    assert.deepEqual([read?.resourceNames, read?.verbs], [keep.resourceNames, ["get"]]);
  });
});

const region = "eu-west-1";
const environment = { ...helperEnvironment, AWS_ACCESS_KEY_ID: "AKIAEXAMPLE", ECR_HELPER_PUSH_ROLE: pushRole };
const config = readConfig(environment);
const token = (password: string): AuthorizationToken => ({
  username: "AWS",
  password,
  issuedAt: Date.parse("2026-11-23T06:00:00Z"),
  expiresAt: Date.parse("2026-11-23T18:00:00Z"),
});
const [pull, push] = [token("pull"), token("push")];
const pushName = `${region} (push)`;
const decode = (text = ""): string => Buffer.from(text, "base64").toString();

describe("the tokens of a helper with a push role", () => {
  const both = new Map([
    [region, pull],
    [pushName, push],
  ]);
  const [builds, pulls] = secretsOf(config, both) as [Secret, Secret];

  it("are two for each region: builds get the one that was issued to the role, and pulls the other", () => {
    assert.deepEqual([...config.tokenRequests.keys()], [region, pushName]);
    assert.equal(config.tokenRequests.get(pushName)?.role?.roleArn, pushRole);
    assert.equal(decode(builds.data["password"]), "push");
    assert.ok(decode(pulls.data[".dockerconfigjson"]).includes(Buffer.from("AWS:pull").toString("base64")));
    assert.ok(!decode(pulls.data[".dockerconfigjson"]).includes(Buffer.from("AWS:push").toString("base64")));
  });

  it("are independent: each secret is written as soon as it has its token", () => {
    const names = (tokens: ReadonlyMap<string, AuthorizationToken>): string[] =>
      secretsOf(config, tokens).map(({ metadata }) => metadata.name);
    assert.deepEqual(names(new Map([[region, pull]])), ["ecr-creds-pull"]);
    assert.deepEqual(names(new Map([[pushName, push]])), ["ecr-creds"]);
  });

  it("can be restored by the next helper, each from its secret", () => {
    assert.deepEqual(config.ownSecretNames, ["ecr-creds", "ecr-creds-pull"]);
    assert.deepEqual(decodeTokens(config, builds), new Map([[pushName, push]]));
    assert.deepEqual(decodeTokens(config, pulls), new Map([[region, pull]]));
    const note = JSON.parse(pulls.metadata.annotations?.["ecr-helper/tokens"] ?? "") as Record<string, object>;
    assert.deepEqual(Object.keys(note["regions"] ?? {}), [region], "as earlier versions of the helper read it");
  });

  it("are due if they were issued to another role, and then those for pulls are not", () => {
    const next = readConfig({ ...environment, ECR_HELPER_PUSH_ROLE: `${pushRole}-other` });
    assert.equal(decodeTokens(next, builds).get(pushName)?.issuedAt, 0);
    assert.equal(decodeTokens(next, pulls).get(region)?.issuedAt, pull.issuedAt);
  });

  it("are not restored from invalid content", () => {
    for (const data of [{}, { username: "" }, { username: "QVdT" }, { password: null, username: [1] }]) {
      assert.equal(decodeTokens(config, { ...builds, data: data as Record<string, string> }).size, 0);
    }
  });

  it("come with the role in the hint when ECR denies access", () => {
    assert.ok(accessDeniedHint(config, pushName).includes(`it may assume the role ${pushRole}`));
    assert.ok(!accessDeniedHint(config, region).includes("assume the role"));
  });
});
