import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { IAMClient, UpdateAssumeRolePolicyCommand } from "@aws-sdk/client-iam";
import type { KubeError } from "../../helper/kube/errors.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { account, aws, ports } from "../local/settings.ts";
import { rootCredentials } from "../local/root-key.ts";
import { waitForObject } from "../local/watch.ts";
import { RegistryClient } from "../support/registry-client.ts";
import { decode, pullPasswords, secretPath, type Secret } from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const namespace = `pushes-${id}`;
const repositoryName = `pushes-${id}/app`;
/** A repository that builds may push to and pods may not. */
const refusedToPulls = `refused-${id}/pushed`;
const roleName = `refused-${id}`;
const failedRequest = /no authorization token/;

describe("a helper that assumes a role for push logins", () => {
  const iam = new IAMClient();
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  let parts: Parts;
  let helper: HelperProcess;

  const stack = (): string => parts.env["ECR_HELPER_NAMESPACE"] ?? "";
  const trust = async (user: string): Promise<unknown> => {
    const Statement = { Effect: "Allow", Action: "sts:AssumeRole", Principal: { AWS: `arn:aws:iam::${account}:root` } };
    const Condition = { ArnEquals: { "aws:PrincipalArn": `arn:aws:iam::${account}:user/${user}` } };
    const PolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement: [{ ...Statement, Condition }] });
    return iam.send(new UpdateAssumeRolePolicyCommand({ RoleName: `${roleName}-push`, PolicyDocument }));
  };
  const login = async (one = namespace): Promise<string> => decode((await parts.secret(one)).data["password"]);
  const pullLogin = async (): Promise<string> =>
    Object.values(pullPasswords(await parts.secret(namespace, "ecr-creds-pull")))[0] ?? "";
  const client = (password: string): RegistryClient => new RegistryClient(ports.registry, password);

  before(async () => {
    await ecr.send(new CreateRepositoryCommand({ repositoryName }));
    const config = { roleName, pushRepositories: JSON.stringify([`pushes-${id}/*`, refusedToPulls]) };
    parts = await makeParts([namespace], { config });
    helper = parts.run();
    await helper.line(/the secret will expire/);
  });

  after(async () => {
    await parts.remove();
    await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
  });

  it("writes a login that can push and pull for builds, and one that can only pull for pods", async () => {
    await waitForObject(
      parts.options,
      `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3Decr-creds`,
      () => true,
      30_000,
    );
    await client(await login()).push(repositoryName, "1", "by a build");
    assert.equal((await client(await login()).pull(repositoryName, "1")).length, 2);
    const pulls = client(await pullLogin());
    assert.equal((await pulls.pull(repositoryName, "1")).length, 2);
    const pushed = pulls.request("POST", `/v2/${refusedToPulls}/blobs/uploads/`);
    await assert.rejects(pushed, /403 DENIED .* ecr:InitiateLayerUpload/);
  });

  it("lets the next helper use both logins, without new tokens before their refresh is due", async () => {
    const before = [await login(), await pullLogin(), await login(stack())];
    assert.equal(before[0], before[2], "the same in its own namespace");
    await helper.stop();
    await trust("nobody");
    helper = parts.run();
    await helper.line(/the secret will expire/);
    assert.deepEqual([await login(), await pullLogin(), await login(stack())], before);
    assert.deepEqual(
      helper.lines.filter(({ message }) => failedRequest.test(message)),
      [],
    );
  });

  it("writes pull logins while the role is refused and logs what to check, and push logins once it is allowed", async () => {
    await helper.stop();
    for (const one of [namespace, stack()]) {
      await parts.admin({ method: "DELETE", path: secretPath(one, "ecr-creds") });
    }
    helper = parts.run();
    const { message } = await helper.line(/no authorization token for us-east-1 \(push\)/);
    assert.match(message, /sts:AssumeRole/);
    await helper.line(/secret\/ecr-creds-pull (configured|unchanged)|the secret will expire/);
    assert.equal((await client(await pullLogin()).pull(repositoryName, "1")).length, 2);
    await trust(stack());
    const path = `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3Decr-creds`;
    const created = await waitForObject<Secret>(parts.options, path, () => true, 60_000);
    await client(decode(created.data["password"])).push(repositoryName, "3", "by a build");
  });

  it("removes the push login from its own namespace if the next helper has no push role", async () => {
    const env = [{ name: "ECR_HELPER_PUSH_ROLE", value: "" }];
    await parts.admin({
      method: "PATCH",
      path: `/apis/apps/v1/namespaces/${stack()}/deployments/ecr-helper`,
      contentType: "application/strategic-merge-patch+json",
      body: { spec: { template: { spec: { containers: [{ name: "ecr-helper", env }] } } } },
    });
    await helper.stop();
    await assert.rejects(parts.secret(stack()), (error: KubeError) => error.status === 404);
    assert.ok(await login(), "it stays in build namespaces");
  });
});
