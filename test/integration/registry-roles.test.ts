// Registries of a second account whose tokens a role there asks for: one with an external id and session tags, one without.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import * as iam from "@aws-sdk/client-iam";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { rootCredentials } from "../local/root-key.ts";
import { account, fipsHost, loopback, otherAccount, ports, registryHost, url } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { pass } from "../support/fault.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { decode, pullPasswords, type Secret, type ServiceAccount } from "../support/kept-objects.ts";
import { Proxy } from "../support/proxy.ts";
import { passwordFor, RegistryClient } from "../support/registry-client.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const namespace = `roles-${id}`;
const repositoryName = `roles-${id}/app`;
/** One that the helper's own token is tried on: test/whole-run expects every request for such a name to be refused. */
const refused = `refused-${id}/app`;
const there = registryHost(otherAccount);
const fips = fipsHost(otherAccount);
const west = registryHost(otherAccount, "eu-west-1");
/** The first is refused in one of the tests. */
const [tagged, plain] = [`refused-${id}-tagged`, `roles-${id}-plain`];
const arnOf = (name: string): string => `arn:aws:iam::${otherAccount}:role/${name}`;
const registries = [
  { host: there, roleArn: arnOf(tagged), externalId: `id-${id}`, sessionTags: ["team=a"] },
  { host: fips, roleArn: arnOf(tagged), externalId: `id-${id}`, sessionTags: ["team=a"] },
  { host: west, roleArn: arnOf(plain) },
];
const document = (...Statement: object[]): string => JSON.stringify({ Version: "2012-10-17", Statement });

describe("registries of a second account with roles there", () => {
  let gateway: Gateway;
  let proxy: Proxy;
  let parts: Parts;
  let helper: HelperProcess;
  let roles: iam.IAMClient;
  let theirs: ECRClient;
  const ofTagged = `us-east-1 as ${arnOf(tagged)}`;
  const requests: string[] = [];

  /** The trust policy that the stack's output has for a role, or the same with another external id. */
  const trustOf = (name: string, externalId = `id-${id}`): string =>
    JSON.stringify((parts.outputs["registryTrustPolicies"] as Record<string, unknown>)[arnOf(name)]).replace(
      `id-${id}`,
      externalId,
    );
  const trust = async (name: string, externalId?: string): Promise<unknown> =>
    roles.send(new iam.UpdateAssumeRolePolicyCommand({ RoleName: name, PolicyDocument: trustOf(name, externalId) }));
  const createRole = async (name: string, Condition?: object): Promise<void> => {
    await roles.send(new iam.CreateRoleCommand({ RoleName: name, AssumeRolePolicyDocument: trustOf(name) }));
    const getToken = { Effect: "Allow", Action: "ecr:GetAuthorizationToken", Resource: "*" };
    const pull = { Effect: "Allow", Action: ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], Resource: "*" };
    const PolicyDocument = document(getToken, { ...pull, ...(Condition && { Condition }) });
    await roles.send(new iam.PutRolePolicyCommand({ RoleName: name, PolicyName: "pull", PolicyDocument }));
  };
  const removeRole = async (name: string): Promise<void> => {
    await roles.send(new iam.DeleteRolePolicyCommand({ RoleName: name, PolicyName: "pull" }));
    await roles.send(new iam.DeleteRoleCommand({ RoleName: name }));
  };
  const run = (): HelperProcess => parts.run({ AWS_ENDPOINT_URL: proxy.url });
  const pulls = async (): Promise<Record<string, string>> =>
    pullPasswords(await parts.secret(namespace, "ecr-creds-pull"));
  const pull = async (password: string | undefined, host = there): Promise<number> =>
    (await new RegistryClient(gateway.registry, password, host).pull(repositoryName, "1")).length;
  const refreshed = async (host: string, old: string | undefined): Promise<Record<string, string>> => {
    const path = `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3Decr-creds-pull`;
    const isNew = (secret: Secret): boolean => (pullPasswords(secret)[host] ?? old) !== old;
    return pullPasswords(await waitForObject<Secret>(parts.options, path, isNew, 60_000));
  };

  before(async () => {
    const any = { address: loopback, port: 0 };
    gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife: 30_000 });
    proxy = await Proxy.start({ upstream: url(gateway.api) });
    proxy.inject(
      () => true,
      async (exchange) => {
        const scope = /Credential=\w+\/\d+\/([\w-]+\/[\w-]+)\//.exec(String(exchange.request.headers["authorization"]));
        requests.push(scope?.[1] ?? "unsigned");
        return pass(exchange);
      },
    );
    const credentials = rootCredentials(otherAccount);
    roles = new iam.IAMClient({ endpoint: url(gateway.api), credentials });
    theirs = new ECRClient({ endpoint: url(gateway.api), credentials });
    const password = await passwordFor(credentials, { api: gateway.api });
    for (const name of [repositoryName, refused]) {
      await theirs.send(new CreateRepositoryCommand({ repositoryName: name }));
      await new RegistryClient(gateway.registry, password, there).push(name, "1", "their layer");
    }
    parts = await makeParts([namespace], { config: { registries: JSON.stringify(registries) } });
    await createRole(tagged, { StringEquals: { "aws:PrincipalTag/team": "a" } });
    await createRole(plain);
    helper = run();
    // What comes later than half a second after the first token is written later, too. The service account comes last.
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa`;
    const isWhole = ({ secrets = [] }: ServiceAccount): boolean => secrets.length === 3;
    await waitForObject<ServiceAccount>(parts.options, path, isWhole, 60_000);
  });

  after(async () => {
    await parts.remove();
    await removeRole(tagged);
    await removeRole(plain);
    for (const name of [repositoryName, refused])
      await theirs.send(new DeleteRepositoryCommand({ repositoryName: name, force: true }));
    await proxy.close();
    await gateway.close();
  });

  it("have one token for each role and region, by one call of STS and one of ECR", async () => {
    const counted = requests.slice(0, 5).sort();
    assert.deepEqual(counted, ["eu-west-1/ecr", "us-east-1/ecr", "us-east-1/ecr", "us-east-1/sts", "us-east-1/sts"]);
    const found = await pulls();
    assert.equal(found[there], found[fips]);
    assert.equal(new Set([registryHost(account), there, west].map((host) => found[host])).size, 3);
  });

  it("are pulled from with the rights of the role alone, by pods and by builds", async () => {
    const found = await pulls();
    assert.equal(await pull(found[there]), 2);
    assert.equal(await pull(found[fips], fips), 2);
    const own = new RegistryClient(gateway.registry, found[registryHost(account)], there).pull(refused, "1");
    await assert.rejects(own, new RegExp(`403 DENIED User: arn:aws:iam::${account}:user/.* ecr:BatchGetImage`));
    const { secrets = [] } = await parts.account(namespace);
    assert.match(
      secrets.map(({ name }) => name).join(),
      /^ecr-creds,ecr-creds-us-east-1-[0-9a-f]{8},ecr-creds-eu-west-1-[0-9a-f]{8}$/,
    );
    const login = await parts.secret(namespace, secrets[1]?.name);
    assert.equal(decode(login.data["password"]), found[there]);
    assert.equal(login.metadata.annotations["tekton.dev/docker-1"], `https://${fips}`);
  });

  it("keep the last login of a role that trusts another external id, over a restart, and hold up no other", async () => {
    await trust(tagged, "another");
    // A session that is there would last for an hour.
    await helper.stop();
    const before = await pulls();
    helper = run();
    const { message } = await helper.line(/no authorization token for us-east-1 as /);
    assert.ok(
      message.startsWith(`no authorization token for ${ofTagged}: User: arn:aws:iam::${account}:user/`),
      message,
    );
    assert.match(message, /sts:AssumeRole.*; check that the role .*registryTrustPolicies.*the last good token stays/);
    const during = await refreshed(west, before[west]);
    assert.equal(during[there], before[there]);
    const failures = helper.lines.filter(({ message: text }) => text.startsWith("no authorization token for "));
    assert.deepEqual([...new Set(failures.map((line) => line["region"]))], [ofTagged]);
    await trust(tagged);
    const afterwards = await refreshed(there, before[there]);
    assert.equal(await pull(afterwards[there]), 2);
  });
});
