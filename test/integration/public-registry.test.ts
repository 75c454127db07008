// The token of ECR Public, from the gateway, which checks signature and rights as AWS does: the local cloud has no such registry.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { ECRPUBLICClient, GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr-public";
import * as iam from "@aws-sdk/client-iam";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { recordSecrets } from "../local/audit-log.ts";
import { account, aws, loopback, ports, registryHost, url } from "../local/settings.ts";
import { rootCredentials } from "../local/root-key.ts";
import { waitForObject } from "../local/watch.ts";
import { decode, pullPasswords, type Secret } from "../support/kept-objects.ts";
import { RegistryClient, type CredentialSource } from "../support/registry-client.ts";
import { makeParts } from "../support/stack-parts.ts";

Object.assign(process.env, aws);
const id = randomBytes(3).toString("hex");
const UserName = `plugin-public-${id}`;
const namespace = `public-${id}`;
const host = "public.ecr.aws";

describe("ECR Public", () => {
  const client = new iam.IAMClient();
  let gateway: Gateway;
  let user: { accessKeyId: string; secretAccessKey: string };

  const allow = async (...Action: string[]): Promise<unknown> => {
    const PolicyDocument = JSON.stringify({
      Version: "2012-10-17",
      Statement: { Effect: "Allow", Action, Resource: "*" },
    });
    return client.send(new iam.PutUserPolicyCommand({ UserName, PolicyName: "inline", PolicyDocument }));
  };
  const password = async (credentials: CredentialSource, region = "us-east-1"): Promise<string> => {
    const ecr = new ECRPUBLICClient({ endpoint: url(gateway.api), region, credentials, maxAttempts: 1 });
    const { authorizationData } = await ecr.send(new GetAuthorizationTokenCommand({}));
    assert.ok(authorizationData?.expiresAt !== undefined && authorizationData.expiresAt.getTime() > Date.now());
    return decode(authorizationData.authorizationToken).replace(/^AWS:/, "");
  };
  const denied = (action: string): { name: string; message: string } => ({
    name: "AccessDeniedException",
    message:
      `User: arn:aws:iam::${account}:user/${UserName} is not authorized to perform: ${action} on resource: * because no ` +
      `identity-based policy allows the ${action} action`,
  });

  before(async () => {
    const any = { address: loopback, port: 0 };
    gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any });
    await client.send(new iam.CreateUserCommand({ UserName }));
    const { AccessKey: key } = await client.send(new iam.CreateAccessKeyCommand({ UserName }));
    user = { accessKeyId: key?.AccessKeyId ?? "", secretAccessKey: key?.SecretAccessKey ?? "" };
    recordSecrets([user.secretAccessKey]);
  });

  after(async () => {
    await client.send(new iam.DeleteUserPolicyCommand({ UserName, PolicyName: "inline" }));
    await client.send(new iam.DeleteAccessKeyCommand({ UserName, AccessKeyId: user.accessKeyId }));
    await client.send(new iam.DeleteUserCommand({ UserName }));
    await gateway.close();
  });

  it("gives a token for both rights, a right signature and its own region, and to nobody else", async () => {
    await allow("ecr:*", "sts:GetServiceBearerToken");
    await assert.rejects(password(user), denied("ecr-public:GetAuthorizationToken"));
    await allow("ecr-public:GetAuthorizationToken");
    await assert.rejects(password(user), denied("sts:GetServiceBearerToken"));
    await allow("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken");
    const tokens = [await password(user), await password(user), await password(rootCredentials(account))];
    assert.equal(new Set(tokens).size, 3);
    await assert.rejects(password(user, "eu-west-1"), { name: "InvalidSignatureException" });
    const wrong = { ...user, secretAccessKey: "wrong" };
    await assert.rejects(password(wrong), { name: "InvalidSignatureException" });
    await assert.rejects(password({ ...user, accessKeyId: "AKIAUNKNOWNUNKNOWN12" }), {
      name: "UnrecognizedClientException",
    });
  });

  it("gives a helper a token, with the stack's own policy, which opens no registry of an account", async () => {
    const parts = await makeParts([namespace], { config: { registries: `["${host}"]` } });
    try {
      const helper = parts.run({ AWS_ENDPOINT_URL: url(gateway.api) });
      await helper.line(/the secret will expire/);
      // Its token may come later than that of the region.
      const one = (name: string): string =>
        `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3D${name}`;
      await waitForObject(parts.options, one("ecr-creds-public"), () => true, 30_000);
      const isWhole = (secret: Secret): boolean => Object.keys(pullPasswords(secret)).length === 4;
      const pulls = pullPasswords(await waitForObject<Secret>(parts.options, one("ecr-creds-pull"), isWhole, 30_000));
      assert.deepEqual(
        Object.keys(pulls),
        [registryHost(account), host].flatMap((one) => [one, `https://${one}`]),
      );
      const builds = await parts.secret(namespace, "ecr-creds-public");
      assert.deepEqual([decode(builds.data["username"]), decode(builds.data["password"])], ["AWS", pulls[host]]);
      assert.notEqual(pulls[host], pulls[registryHost(account)]);
      const statuses = [registryHost(account), host].map(async (one) => {
        const { status } = await new RegistryClient(gateway.registry, pulls[one]).send("GET", "/v2/any/manifests/1");
        return status;
      });
      assert.deepEqual(await Promise.all(statuses), [404, 401]);
    } finally {
      await parts.remove();
    }
  });
});
