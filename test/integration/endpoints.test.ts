// Registries by their FIPS and dual-stack hosts. A proxy is the only way to the endpoints of AWS that the helper asks, and is
// answered by the local cloud there.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { rootCredentials } from "../local/root-key.ts";
import { account, loopback, ports, url } from "../local/settings.ts";
import { ConnectProxy } from "../support/connect-proxy.ts";
import { decode, pullPasswords } from "../support/kept-objects.ts";
import { passwordFor, RegistryClient } from "../support/registry-client.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const namespace = `endpoints-${randomBytes(3).toString("hex")}`;
const repository = `${namespace}/app`;
const [standard, fips, dualStack, elsewhere] = [
  "dkr.ecr.us-east-1.amazonaws.com",
  "dkr.ecr-fips.us-east-1.amazonaws.com",
  "dkr-ecr-fips.us-east-1.on.aws",
  "dkr-ecr.eu-west-1.on.aws",
].map((form) => `${account}.${form}`);
const endpoints = ["ecr-fips.us-east-1.api.aws", "ecr.eu-west-1.api.aws", "sts-fips.us-east-1.api.aws"];

describe("registries by their FIPS and dual-stack hosts", () => {
  let gateway: Gateway;
  let proxy: ConnectProxy;
  let parts: Parts;
  let folder: string;
  let ecr: ECRClient;

  before(async () => {
    const any = { address: loopback, port: 0 };
    gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any });
    ecr = new ECRClient({ endpoint: url(gateway.api), credentials: rootCredentials(account) });
    await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }));
    const password = await passwordFor(rootCredentials(account), { api: gateway.api });
    await new RegistryClient(gateway.registry, password).push(repository, "1", "a layer");
    proxy = await ConnectProxy.start(
      endpoints.map((one) => `${one}:443`),
      gateway.api,
    );
    folder = await mkdtemp(join(tmpdir(), "ecr-helper-endpoints-"));
    const caFile = join(folder, "ca.crt");
    await writeFile(caFile, proxy.ca);
    const registries = JSON.stringify([fips, dualStack, elsewhere]);
    const config = { registries, proxy: proxy.url, caBundle: proxy.ca, pushRepositories: `["${repository}"]` };
    parts = await makeParts([namespace], { config });
    const helper = parts.run({ AWS_ENDPOINT_URL: "", ECR_HELPER_CA_FILE: caFile });
    await helper.line(/the secret will expire/);
  });

  after(async () => {
    await parts.remove();
    await ecr.send(new DeleteRepositoryCommand({ repositoryName: repository, force: true }));
    await Promise.all([proxy.close(), gateway.close(), rm(folder, { recursive: true })]);
  });

  it("have tokens from the endpoints of the same kind, and no other endpoint is asked", () => {
    assert.deepEqual([...new Set(proxy.tunnels)].sort(), endpoints.map((one) => `${one}:443`).sort());
    assert.deepEqual(proxy.refused, []);
  });

  it("have one token for all hosts of a region, and an entry for each", async () => {
    const pulls = pullPasswords(await parts.secret(namespace, "ecr-creds-pull"));
    const [hosts, other = ""] = [[standard, fips, dualStack].map(String), elsewhere];
    assert.deepEqual(
      Object.keys(pulls),
      [...hosts, other].flatMap((one) => [one, `https://${one}`]),
    );
    assert.equal(new Set(hosts.map((one) => pulls[one])).size, 1);
    assert.notEqual(pulls[other], pulls[hosts[0] ?? ""]);
  });

  it("are pulled from by each host with its entry, and pushed to with the login for builds", async () => {
    const pulls = pullPasswords(await parts.secret(namespace, "ecr-creds-pull"));
    for (const host of [standard, fips, dualStack].map(String)) {
      const [, layer] = await new RegistryClient(gateway.registry, pulls[host], host).pull(repository, "1");
      assert.equal(String(layer), "a layer");
    }
    const { data } = await parts.secret(namespace);
    const builder = new RegistryClient(gateway.registry, decode(data["password"]), dualStack);
    assert.match(await builder.push(repository, "2", "another layer"), /^sha256:/);
    const wrongRegion = new RegistryClient(gateway.registry, pulls[String(elsewhere)], dualStack);
    await assert.rejects(wrongRegion.pull(repository, "1"), /401/);
  });
});
