// ECR Public in the configuration, in the stack and in the helper.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../helper/config/helper-config.ts";
import { accessDeniedHint } from "../../helper/ecr/access-denied.ts";
import { secretsOf } from "../../helper/resources/secrets.ts";
import { decodeTokens } from "../../helper/resources/token-annotation.ts";
import { assertOneMistake, mistakesOf } from "../support/config-error.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { idleMetrics } from "../support/idle-metrics.ts";
import { account, runProgram } from "../support/program.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

const host = "public.ecr.aws";
const cluster = { kubeconfig: "Pulumi.yaml" };
const roleArn = "arn:aws:iam::444455556666:role/pulls";

interface Statement {
  readonly Sid: string;
  readonly Resource: string[];
}

/** The statements of the helper's policy for these registries. */
async function policyFor(registries: unknown[], more: Record<string, string> = {}): Promise<Statement[]> {
  const program = await runProgram({ ...cluster, ...more, registries: JSON.stringify(registries) });
  const { policy } = program.find("aws:iam/policy:Policy", "ecr-helper-policy").inputs;
  return (JSON.parse(String(policy)) as { Statement: Statement[] }).Statement;
}

describe("public.ecr.aws in registries", () => {
  it("gives the helper the two rights for its token, and none of them without it", async () => {
    const statement = {
      Sid: "ECRPublicToken",
      Effect: "Allow",
      Resource: ["*"],
      Action: ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"],
    };
    const [, pull, ...more] = await policyFor([host]);
    assert.deepEqual(more, [statement]);
    assert.deepEqual(pull?.Resource, [`arn:aws:ecr:eu-central-1:${account}:repository/*`]);
    const pushing = await policyFor([host], { pushRepositories: '["apps/*"]' });
    assert.ok(pushing.some(({ Sid }) => Sid === "ECRPublicToken"));
    for (const registries of [[], [{ host, roleArn }]]) {
      const policy = await policyFor(registries);
      assert.ok(!policy.some(({ Sid }) => Sid === "ECRPublicToken"), JSON.stringify(registries));
    }
  });

  it("is in the partition aws only, and by this host only", () => {
    const china = { partition: "aws-cn", accountId: account, region: "cn-north-1" };
    assert.deepEqual(mistakesOf({ registries: [host] }), []);
    assert.deepEqual(mistakesOf({ registries: JSON.stringify([{ host, roleArn }]) }), []);
    assert.deepEqual(mistakesOf({ registries: [host] }, china), [
      `ecr-helper:registries = "${host}": expected a registry in the stack's partition, aws-cn: an identity of aws-cn is ` +
        "unknown in aws; run a second stack there",
    ]);
    for (const wrong of [`https://${host}`, `${host}/nginx`, "PUBLIC.ecr.aws", "gallery.ecr.aws", `${host}:443`]) {
      const [line = ""] = mistakesOf({ registries: [wrong] });
      assert.match(line, /: expected hosts .* no https:\/\/ and no path; or public\.ecr\.aws$/);
    }
  });

  it("is not served by a VPC endpoint of ECR", () => {
    const awsEndpointUrl = "https://vpce-1.api.ecr.eu-central-1.vpce.amazonaws.com";
    const expected = `awsEndpointUrl = "${awsEndpointUrl}": expected an endpoint that serves ECR Public, too: `;
    assertOneMistake({ ...cluster, awsEndpointUrl, registries: `["${host}"]` }, expected);
  });
});

const own = helperEnvironment.ECR_HELPER_REGISTRIES;
const east = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
const environment = { ...helperEnvironment, ECR_HELPER_REGISTRIES: [own, east, host].join() };
const config = readConfig(environment);
const tokens = new Map(
  ["eu-west-1", "us-east-1", host].map((name) => [
    name,
    { username: "AWS", password: `of ${name}`, issuedAt: 1000, expiresAt: 2000 },
  ]),
);
const decode = (text = ""): string => Buffer.from(text, "base64").toString();

describe("the token of ECR Public", () => {
  it("is another one than that of its region, and is never one for pushes", () => {
    const { service, region, hosts } = config.tokenRequests.get(host) ?? {};
    assert.deepEqual([service, region, hosts], ["ecr-public", "us-east-1", [host]]);
    const pushRole = "arn:aws:iam::111122223333:role/ecr-helper-push";
    const { tokenRequests } = readConfig({ ...environment, ECR_HELPER_PUSH_ROLE: pushRole });
    const names = ["eu-west-1", "us-east-1", host, "eu-west-1 (push)", "us-east-1 (push)"];
    assert.deepEqual([...tokenRequests.keys()], names);
  });

  it("is in a secret of its own for builds and in the pull secret, from which it is restored", () => {
    const [builds, pulls] = ["ecr-creds-public", "ecr-creds-pull"].map(
      (name) => secretsOf(config, tokens).find(({ metadata }) => metadata.name === name) ?? assert.fail(name),
    );
    assert.deepEqual([decode(builds?.data["username"]), decode(builds?.data["password"])], ["AWS", `of ${host}`]);
    assert.equal(builds?.metadata.annotations?.["tekton.dev/docker-0"], `https://${host}`);
    const { auths } = JSON.parse(decode(pulls?.data[".dockerconfigjson"])) as { auths: Record<string, object> };
    assert.deepEqual(auths[host], { auth: Buffer.from(`AWS:of ${host}`).toString("base64") });
    assert.deepEqual(pulls && decodeTokens(config, pulls), tokens);
  });

  it("may be asked for by a role, with a secret of another name", () => {
    const ECR_HELPER_REGISTRY_ROLES = JSON.stringify([{ roleArn, sessionTags: {}, hosts: [host] }]);
    const { tokenRequests, secretNames } = readConfig({ ...environment, ECR_HELPER_REGISTRY_ROLES });
    const { service, role } = tokenRequests.get(`${host} as ${roleArn}`) ?? {};
    assert.deepEqual([service, role?.roleArn], ["ecr-public", roleArn]);
    assert.match(secretNames.join(), /,ecr-creds-public-[0-9a-f]{8},/);
  });

  it("has its own rights in the hint, and its own region in metrics", async () => {
    const denied = "policy denies ecr-public:GetAuthorizationToken or sts:GetServiceBearerToken";
    assert.ok(accessDeniedHint(config, host).endsWith(denied));
    const metrics = idleMetrics(config);
    metrics.countTokenRequest(host, "success");
    metrics.setTokenExpiry(tokens);
    const { body } = await metrics.text();
    const samples = body.split("\n").filter((line) => line.includes('region="public"') && !line.endsWith(" 0"));
    assert.deepEqual(samples, [
      'ecr_helper_token_requests_total{region="public",login="pull",result="success"} 1',
      `ecr_helper_token_expiry_timestamp_seconds{registry="${host}",region="public",login="pull"} 2`,
    ]);
  });
});
