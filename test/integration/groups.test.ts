// Teams apart: groups of build namespaces that log in by roles of their own, against the real API server, IAM and the registry.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { IAMClient, UpdateAssumeRolePolicyCommand } from "@aws-sdk/client-iam";
import { account, aws, ports, registryHost } from "../local/settings.ts";
import { rootCredentials } from "../local/root-key.ts";
import { waitForObject } from "../local/watch.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { decode, pullPasswords, type Secret } from "../support/kept-objects.ts";
import { passwordFor, RegistryClient } from "../support/registry-client.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const [own, pullSecret] = [registryHost(account), "ecr-creds-pull"];
/** The namespaces of group a, of group b, and of none. */
const [inA, inB, inNone] = [`grp-${id}-a-1`, `grp-${id}-b`, `grp-${id}-other`];
/** The repositories that only each of the groups may pull from, by whom test/whole-run expects to be refused, and one for the others. */
const [ofA, ofB, common] = [`groups-${id}/only-a/app`, `groups-${id}/only-b/app`, `groups-${id}/common`];
const groups = [
  { name: "a", namespaces: [`grp-${id}-a-*`], pushRepositories: [`groups-${id}/only-a/*`] },
  // The pattern has the namespace of group a, too, which comes first.
  { name: "b", namespaces: [inB, `grp-${id}-?-1`], pullRepositories: [ofB] },
];

describe("namespaces of groups", () => {
  const iam = new IAMClient();
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  let parts: Parts;
  let helper: HelperProcess;

  const stack = (): string => parts.env["ECR_HELPER_NAMESPACE"] ?? "";
  const pulls = async (namespace: string, name = pullSecret): Promise<Record<string, string>> =>
    pullPasswords(await parts.secret(namespace, name));
  const passwordIn = async (namespace: string): Promise<string> => (await pulls(namespace))[own] ?? "";
  const client = async (namespace: string): Promise<RegistryClient> =>
    new RegistryClient(ports.registry, await passwordIn(namespace));
  /** Resolves when the pull secret of a namespace has other logins. */
  const changed = async (namespace: string, before: string): Promise<Secret> => {
    const path = `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3D${pullSecret}`;
    return waitForObject<Secret>(parts.options, path, (secret) => pullPasswords(secret)[own] !== before, 60_000);
  };
  const patchGroups = async (value: object[]): Promise<Record<string, string>> => {
    const env = { ECR_HELPER_GROUPS: JSON.stringify(value) };
    const variables = Object.entries(env).map(([name, one]) => ({ name, value: one }));
    await parts.admin({
      method: "PATCH",
      path: `/apis/apps/v1/namespaces/${stack()}/deployments/ecr-helper`,
      contentType: "application/strategic-merge-patch+json",
      body: { spec: { template: { spec: { containers: [{ name: "ecr-helper", env: variables }] } } } },
    });
    return env;
  };

  before(async () => {
    const password = await passwordFor(rootCredentials(account), { api: ports.gateway });
    for (const repositoryName of [ofA, ofB, common]) {
      await ecr.send(new CreateRepositoryCommand({ repositoryName }));
      await new RegistryClient(ports.registry, password).push(repositoryName, "1", `a layer of ${repositoryName}`);
    }
    const config = { groups: JSON.stringify(groups), pullRepositories: JSON.stringify([common]) };
    parts = await makeParts([`grp-${id}-*`], { config });
    for (const one of [inA, inB, inNone]) await parts.namespace(one);
    helper = parts.run();
    for (const one of [inA, inB, inNone]) await changed(one, "");
    await helper.line(/the secret will expire/);
  });

  after(async () => {
    await parts.remove();
    for (const repositoryName of [ofA, ofB, common])
      await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
  });

  it("hold only what their group may pull and push, and no other namespace holds that", async () => {
    const readable: Record<string, string[]> = {};
    for (const namespace of [inA, inB, inNone]) {
      assert.deepEqual(Object.keys(await pulls(namespace)), [own, `https://${own}`]);
      assert.equal(decode((await parts.secret(namespace)).data["password"]), await passwordIn(namespace));
      const { secrets = [], imagePullSecrets = [] } = await parts.account(namespace);
      assert.deepEqual([secrets, imagePullSecrets], [[{ name: "ecr-creds" }], [{ name: pullSecret }]]);
      for (const repository of namespace === inNone ? [ofA, ofB, common] : [ofA, ofB]) {
        const pulled = (await client(namespace)).pull(repository, "1");
        const isReadable = await pulled.then(
          () => true,
          (error: unknown) => {
            assert.match(String(error), /403 DENIED .* ecr:BatchGetImage/);
            return false;
          },
        );
        if (isReadable) (readable[namespace] ??= []).push(repository);
      }
    }
    assert.deepEqual(readable, { [inA]: [ofA], [inB]: [ofB], [inNone]: [common] });
    assert.match(await (await client(inA)).push(ofA, "2", "by a build"), /^sha256:/);
    const pushed = (await client(inB)).request("POST", `/v2/${ofA}/blobs/uploads/`);
    await assert.rejects(pushed, /403 DENIED .* ecr:InitiateLayerUpload/);
  });

  it("keep the logins over a restart, while their role is refused, from the helper's own namespace", async () => {
    const before = [await passwordIn(inA), await passwordIn(inB), await passwordIn(inNone)];
    assert.equal((await pulls(stack(), `${pullSecret}.a`))[own], before[0]);
    assert.equal((await pulls(stack(), `${pullSecret}.b`))[own], before[1]);
    assert.equal(await passwordIn(stack()), before[2]);
    await helper.stop();
    const Statement = { Effect: "Allow", Action: "sts:AssumeRole", Principal: { AWS: account } };
    const Condition = { ArnEquals: { "aws:PrincipalArn": `arn:aws:iam::${account}:user/nobody` } };
    const PolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement: [{ ...Statement, Condition }] });
    for (const { name } of groups)
      await iam.send(new UpdateAssumeRolePolicyCommand({ RoleName: `${stack()}-${name}`, PolicyDocument }));
    helper = parts.run();
    await helper.line(/the secret will expire/);
    const failures = helper.lines.filter(({ message }) => message.startsWith("no authorization token"));
    assert.deepEqual(failures, []);
    assert.deepEqual([await passwordIn(inA), await passwordIn(inB), await passwordIn(inNone)], before);
  });

  it("get another group's logins when the groups change", async () => {
    const [before, next] = [await passwordIn(inA), await passwordIn(inB)];
    const of = JSON.parse(parts.env["ECR_HELPER_GROUPS"] ?? "") as { name: string; namespaces: string[] }[];
    // Group b has both namespaces.
    const env = await patchGroups(of.filter(({ name }) => name === "b"));
    await helper.stop();
    helper = parts.run(env);
    assert.equal(pullPasswords(await changed(inA, before))[own], next);
    assert.equal((await pulls(stack(), `${pullSecret}.b`))[own], next);
  });
});
