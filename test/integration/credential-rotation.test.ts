// A helper whose cluster replaces its CA and the helper's token while it runs.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ports } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { ApiServer } from "../support/api-server.ts";
import { requestBoundToken, type BoundToken } from "../support/bound-token.ts";
import { makeCertificate } from "../support/certificate.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import type { Secret } from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const timeout = 60_000;

const took = (since: number): string => `served ${String(Math.round(performance.now() - since))} ms`;

describe("a running helper", () => {
  let [folder, account, serving] = ["", "", { cert: "", key: "" }];
  let parts: Parts;
  let server: ApiServer;
  let bound: BoundToken;
  let helper: HelperProcess;

  /** Replaces a file of the mounted service account at once, as the kubelet does. */
  const mount = async (file: "ca.crt" | "token", content: string): Promise<void> => {
    await writeFile(join(folder, file), content);
    await rename(join(folder, file), join(account, file));
  };
  /** Gives the API server a certificate of another CA, which it has from its next start on. Resolves with the CA. */
  const replaceCertificate = async (): Promise<string> => {
    const { cert, key } = await makeCertificate(ports.apiServer.address);
    await writeFile(serving.cert, cert);
    await writeFile(serving.key, key, { mode: 0o600 });
    return cert;
  };
  /** Creates a build namespace through the cloud's own API server. Resolves when the helper has given it its secret. */
  const servedNamespace = async (name: string): Promise<void> => {
    await parts.namespace(name);
    await served(name);
  };
  const served = async (name: string): Promise<void> => {
    const secrets = `/api/v1/namespaces/${name}/secrets?fieldSelector=metadata.name%3Decr-creds`;
    await waitForObject<Secret>(parts.options, secrets, () => true, timeout);
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ecr-helper-rotation-"));
    [account, serving] = [join(folder, "account"), { cert: join(folder, "tls.crt"), key: join(folder, "tls.key") }];
    await mkdir(account);
    const ca = await replaceCertificate();
    server = await ApiServer.start(undefined, serving);
    parts = await makeParts([`${id}-*`]);
    bound = await requestBoundToken(parts);
    await mount("ca.crt", ca);
    await mount("token", bound.token);
    helper = parts.run({}, { ...parts.cluster, server: server.options.server, folder: account });
    await servedNamespace(`${id}-before`);
  });

  after(async () => {
    await parts.remove();
    await server.kill();
    await rm(folder, { recursive: true });
  });

  it("keeps its connections when the file of the CA changes", async () => {
    const logged = helper.lines.length;
    await mount("ca.crt", (await makeCertificate(ports.apiServer.address)).cert);
    await servedNamespace(`${id}-connected`);
    const wrong = helper.lines.slice(logged).filter(({ level }) => level === "error" || level === "warn");
    assert.deepEqual(wrong, []);
  });

  it("trusts an API server of another CA as soon as the file has it, and misses nothing", async (t) => {
    await server.kill();
    const ca = await replaceCertificate();
    const logged = helper.lines.length;
    await server.start();
    await parts.namespace(`${id}-untrusted`);
    await helper.line(/certificate/, logged);
    const since = performance.now();
    await mount("ca.crt", ca);
    await served(`${id}-untrusted`);
    t.diagnostic(`outcome: ${took(since)} after the file had the new CA`);
    await servedNamespace(`${id}-trusted`);
  });

  it("uses another token as soon as the file has it, and misses nothing", async (t) => {
    const { token } = await requestBoundToken(parts);
    await server.kill();
    await bound.revoke();
    const logged = helper.lines.length;
    await server.start();
    await parts.namespace(`${id}-revoked`);
    await helper.line(/ 401 /, logged);
    const since = performance.now();
    await mount("token", token);
    await served(`${id}-revoked`);
    t.diagnostic(`outcome: ${took(since)} after the file had the new token`);
    await servedNamespace(`${id}-renewed`);
  });

  it("was never restarted", async () => {
    assert.equal(helper.lines.filter(({ message }) => message.startsWith("Deployment: ")).length, 1);
    assert.equal((await helper.stop()).code, 0);
  });
});
