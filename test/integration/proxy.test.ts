// The helper behind a proxy that is the only way to AWS, for which it presents certificates of its own CA. The hosts' names
// resolve nowhere, so nothing else leads there.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { loopback, ports } from "../local/settings.ts";
import { ConnectProxy } from "../support/connect-proxy.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { decode } from "../support/kept-objects.ts";
import { isLoginAccepted } from "../support/registry-login.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const namespace = `proxy-${randomBytes(3).toString("hex")}`;
const [ecr, sts] = ["ecr.invalid", "sts.invalid"];
const issued = /the secret will expire/;

describe("a helper behind a proxy", () => {
  let gateway: Gateway;
  let proxy: ConnectProxy;
  let parts: Parts;
  let folder: string;
  let helper: HelperProcess | undefined;
  const caFile = (): string => join(folder, "ca.crt");

  before(async () => {
    const any = { address: loopback, port: 0 };
    // Short lives, so that each helper soon needs new tokens.
    gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife: 4_000 });
    proxy = await ConnectProxy.start([`${ecr}:443`, `${sts}:443`], gateway.api);
    folder = await mkdtemp(join(tmpdir(), "ecr-helper-proxy-"));
    const config = { proxy: proxy.url, caBundle: proxy.ca, pushRepositories: '["team/*"]' };
    parts = await makeParts([namespace], { config });
  });

  after(async () => {
    await parts.remove();
    await Promise.all([proxy.close(), gateway.close(), rm(folder, { recursive: true })]);
  });

  /** Starts a helper instead of the last one, with an empty record of the proxy. */
  const start = async (env: Readonly<Record<string, string>> = {}, ca = proxy.ca): Promise<HelperProcess> => {
    await helper?.stop();
    await writeFile(caFile(), ca);
    for (const record of [proxy.tunnels, proxy.refused]) record.length = 0;
    helper = parts.run({
      AWS_ENDPOINT_URL: `https://${ecr}`,
      AWS_ENDPOINT_URL_STS: `https://${sts}`,
      ECR_HELPER_CA_FILE: caFile(),
      ...env,
    });
    return helper;
  };
  const hosts = (): string[] => [...new Set(proxy.tunnels)].sort();

  it("asks ECR and STS through it, and the API server directly", async () => {
    await (await start()).line(issued);
    assert.deepEqual(hosts(), [`${ecr}:443`, `${sts}:443`]);
    assert.deepEqual(proxy.refused, []);
    const { data } = await parts.secret(namespace);
    assert.ok(await isLoginAccepted(gateway.registry, decode(data["password"])));
  });

  it("asks STS through it for a web identity, too", async () => {
    const token = join(folder, "token");
    await writeFile(token, "no token of any issuer");
    const role = { AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/any", AWS_WEB_IDENTITY_TOKEN_FILE: token };
    const env = { ...role, AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" };
    await (await start(env)).line(/no authorization token for us-east-1( yet)?: .*[Tt]oken/);
    assert.deepEqual(hosts(), [`${sts}:443`]);
  });

  it("asks the agent on its node for credentials directly", async () => {
    const [AccessKeyId, SecretAccessKey] = [parts.env["AWS_ACCESS_KEY_ID"], parts.env["AWS_SECRET_ACCESS_KEY"]];
    const Expiration = new Date(Date.now() + 3_600_000).toISOString();
    const credentials = JSON.stringify({ AccessKeyId, SecretAccessKey, Token: "", Expiration });
    const agent = createServer((_, response) => response.end(credentials)).listen(0, "127.0.0.1");
    await once(agent, "listening");
    const uri = `http://127.0.0.1:${String((agent.address() as AddressInfo).port)}/v1/credentials`;
    const env = { AWS_CONTAINER_CREDENTIALS_FULL_URI: uri, AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" };
    try {
      await (await start(env)).line(issued);
    } finally {
      agent.close();
    }
    assert.deepEqual([hosts(), proxy.refused], [[`${ecr}:443`, `${sts}:443`], []]);
  });

  it("asks hosts of noProxy directly", async () => {
    await (await start({ ECR_HELPER_NO_PROXY: "*.invalid" })).line(/ENOTFOUND ecr\.invalid/);
    assert.deepEqual([proxy.tunnels, proxy.refused], [[], []]);
  });

  it("says which host the proxy refuses, and how", async () => {
    const { message } = await (
      await start({ AWS_ENDPOINT_URL: "https://other.invalid" })
    ).line(/no authorization token/);
    assert.match(message, /tunnel to other\.invalid:443 via http:\/\/127\.0\.0\.1:\d+: HTTP\/1\.1 403 Forbidden; /);
    assert.ok(proxy.refused.every((one) => one === "CONNECT other.invalid:443"));
  });

  it("trusts the proxy's CA only by caBundle, and says so; a CA that is added needs no restart", async () => {
    const running = await start({}, "# no certificate\n");
    const { message } = await running.line(/no authorization token/);
    assert.match(message, /not trusted, add its CA to caBundle: (self-signed certificate|unable to verify)/);
    await writeFile(caFile(), proxy.ca);
    await running.line(issued);
  });

  it("leaves no connection to a proxy that never answers", async () => {
    proxy.isMute = true;
    const mute = await start();
    const late = /no authorization token .*(timeout|timed out|no answer|did not establish)/;
    await mute.line(late);
    await mute.line(late, mute.lines.length);
    const { connections } = proxy;
    proxy.isMute = false;
    assert.ok(connections <= 4, `${String(connections)} connections for two tokens`);
    await mute.line(issued, mute.lines.length);
  });
});
