import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { DeleteUserPolicyCommand, IAMClient, PutUserPolicyCommand } from "@aws-sdk/client-iam";
import type { KubeError } from "../../helper/kube/errors.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { recordOutput } from "../local/audit-log.ts";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { account, loopback, ports, url } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { isLoginAccepted } from "../support/registry-login.ts";
import { decode, pullPasswords, type Secret, type ServiceAccount } from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";
import { freePort } from "../support/api-server.ts";

const namespace = `registries-${randomBytes(3).toString("hex")}`;
const host = (region: string, of = account): string => `${of}.dkr.ecr.${region}.amazonaws.com`;
const denied = "eu-west-1";

describe("registries of several accounts and regions, one of which IAM denies", () => {
  const iam = new IAMClient();
  let parts: Parts;
  let gateway: Gateway;
  let helper: HelperProcess;
  let port: number;

  const policyName = "deny-a-region";
  const userName = (): string => String(parts.env["ECR_HELPER_NAMESPACE"]);
  const deny = async (): Promise<unknown> => {
    const statement = {
      Effect: "Deny",
      Action: "ecr:GetAuthorizationToken",
      Resource: "*",
      Condition: { StringEquals: { "aws:RequestedRegion": denied } },
    };
    const document = JSON.stringify({ Version: "2012-10-17", Statement: [statement] });
    return iam.send(
      new PutUserPolicyCommand({ UserName: userName(), PolicyName: policyName, PolicyDocument: document }),
    );
  };
  const allow = async (): Promise<unknown> =>
    iam.send(new DeleteUserPolicyCommand({ UserName: userName(), PolicyName: policyName }));

  before(async () => {
    const further = [host("us-east-1", "444455556666"), host("us-west-2"), host(denied)];
    parts = await makeParts([namespace], { config: { registries: JSON.stringify(further) } });
    await deny();
    const any = { address: loopback, port: 0 };
    gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife: 12_000 });
    port = await freePort();
    helper = parts.run({ AWS_ENDPOINT_URL: url(gateway.api), ECR_HELPER_PORT: String(port) });
    await helper.line(/the secret will expire/);
  });

  after(async () => {
    await allow().catch(() => undefined);
    await gateway.close();
    await parts.remove();
  });

  const get = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${String(port)}${path}`)).text();
  const requestCount = async (region: string, result: string): Promise<number> => {
    const sample = new RegExp(
      `^ecr_helper_token_requests_total\\{region="${region}",login="pull",result="${result}"\\} (\\d+)$`,
      "m",
    );
    const metrics = await get("/metrics");
    recordOutput("metrics", metrics);
    return Number(sample.exec(metrics)?.[1]);
  };
  const isAccepted = async (password: string): Promise<boolean> => isLoginAccepted(gateway.registry, password);
  const path = (collection: string, name: string): string =>
    `/api/v1/namespaces/${namespace}/${collection}?fieldSelector=metadata.name%3D${name}`;

  it("need one token per region; a denied one does not delay the others, but the helper is not ready", async () => {
    assert.match(
      helper.lines.find(({ region }) => region === denied)?.message ?? "",
      /no authorization token for eu-west-1 yet: .*(not authorized|explicit deny).*; trying again in/,
    );
    assert.deepEqual([await requestCount("us-east-1", "success"), await requestCount("us-west-2", "success")], [1, 1]);
    assert.equal(await get("/readyz"), "there is no authorization token for eu-west-1 yet\n");
  });

  it("have one login for builds per region, annotated with the registries that it is valid for", async () => {
    const endpoints = ({ metadata }: Secret): string[] =>
      Object.entries(metadata.annotations).flatMap(([key, value]) => (key.startsWith("tekton.dev/") ? [value] : []));
    const [own, west] = [await parts.secret(namespace), await parts.secret(namespace, "ecr-creds-us-west-2")];
    assert.deepEqual(
      endpoints(own),
      [host("us-east-1"), host("us-east-1", "444455556666")].map((one) => `https://${one}`),
    );
    assert.deepEqual(endpoints(west), [`https://${host("us-west-2")}`]);
    for (const { data } of [own, west]) assert.ok(await isAccepted(decode(data["password"])));
    const missing = parts.secret(namespace, `ecr-creds-${denied}`);
    await assert.rejects(missing, (error: KubeError) => error.status === 404);
  });

  it("share one docker config; the service account lists the secrets of all regions that have a login", async () => {
    const pulls = pullPasswords(await parts.secret(namespace, "ecr-creds-pull"));
    const hosts = [host("us-east-1"), host("us-east-1", "444455556666"), host("us-west-2")];
    assert.deepEqual(
      Object.keys(pulls),
      hosts.flatMap((one) => [one, `https://${one}`]),
    );
    const { secrets, imagePullSecrets } = await parts.account(namespace);
    assert.deepEqual(secrets, [{ name: "ecr-creds" }, { name: "ecr-creds-us-west-2" }]);
    assert.deepEqual(imagePullSecrets, [{ name: "ecr-creds-pull" }]);
  });

  it("get the missing login as soon as IAM allows it, and the helper becomes ready", async () => {
    await allow();
    const hasLogin = ({ secrets = [] }: ServiceAccount): boolean => secrets.some(({ name }) => name.endsWith(denied));
    await waitForObject(parts.options, path("serviceaccounts", "builder-sa"), hasLogin, 60_000);
    const pulls = pullPasswords(await parts.secret(namespace, "ecr-creds-pull"));
    assert.ok(await isAccepted(pulls[host(denied)] ?? ""));
    assert.equal(await get("/readyz"), "ok\n");
  });

  it("keep the last valid login of a region that is denied again, even over a restart, while others are refreshed", async () => {
    await deny();
    const before = await parts.secret(namespace, "ecr-creds-pull");
    await helper.stop();
    const next = parts.run({ AWS_ENDPOINT_URL: url(gateway.api) });
    const [kept, old] = [pullPasswords(before)[host(denied)], pullPasswords(before)[host("us-west-2")]];
    const isRefreshed = (secret: Secret): boolean => pullPasswords(secret)[host("us-west-2")] !== old;
    const after = await waitForObject<Secret>(parts.options, path("secrets", "ecr-creds-pull"), isRefreshed, 60_000);
    assert.equal(pullPasswords(after)[host(denied)], kept);
    await next.line(/no authorization token for eu-west-1: .*the last good token stays in place/);
    const login = await parts.secret(namespace, `ecr-creds-${denied}`);
    assert.equal(decode(login.data["password"]), kept);
  });
});
