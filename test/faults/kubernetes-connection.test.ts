import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort } from "../support/api-server.ts";
import { requestBoundToken } from "../support/bound-token.ts";
import { delay, reset } from "../support/fault.ts";
import { secretPath } from "../support/kept-objects.ts";
import { waitForObject } from "../local/watch.ts";
import {
  assertNoPasswordLogged,
  createProxiedHelper,
  reportOutcome,
  timeout,
  type ProxiedHelper,
} from "./proxied-helper.ts";

const id = randomBytes(3).toString("hex");

describe("the connection to the API server", { concurrency: true }, () => {
  let [away, revoked, silent, torn]: ProxiedHelper[] = [];
  before(async () => {
    away = await createProxiedHelper([`away-${id}`], 600_000);
    revoked = await createProxiedHelper([`revoked-${id}`], 600_000);
    silent = await createProxiedHelper([`silent-${id}`], 14_000);
    torn = await createProxiedHelper([`${id}-torn-*`], 600_000);
  });
  after(async () => {
    for (const proxied of [away, revoked, silent, torn]) await proxied?.close();
  });

  it("may be refused at the start: the helper waits, stays alive, and requests one token", async (t) => {
    assert.ok(away);
    const port = String(await freePort());
    await away.kubernetes.stopListening();
    const helper = away.run({ ECR_HELPER_PORT: port });
    await helper.line(/the lease cannot be read: .*ECONNREFUSED.*; trying again in/);
    assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
    assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 503);
    const requests = away.aws.inject(() => true, delay(0));
    const since = Date.now();
    await away.kubernetes.listen();
    const login = await away.waitForNewLogin(`away-${id}`, "");
    reportOutcome(t, "unreachable at the start", "alive, not ready, ECR is not asked", since);
    await helper.line(/the secret will expire/);
    assert.equal(requests.hits.length, 1);
    assertNoPasswordLogged(helper.lines, [login]);
  });

  it("may lose its token: the helper goes on as soon as the token's file has a new one", async (t) => {
    assert.ok(revoked);
    const { parts } = revoked;
    const namespace = `revoked-${id}`;
    const folder = await mkdtemp(join(tmpdir(), "ecr-helper-token-"));
    const tokenFile = join(folder, "token");
    const path = `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3Decr-creds-pull`;
    try {
      await writeFile(join(folder, "ca.crt"), revoked.kubernetes.ca);
      await writeFile(tokenFile, parts.cluster.token);
      const helper = revoked.run({}, { folder });
      await helper.line(/the secret will expire/);
      const login = await revoked.login(namespace);
      const { token, revoke } = await requestBoundToken(parts);
      await revoke();
      await writeFile(tokenFile, token);
      const refused = helper.line(/secret\/ecr-creds-pull failed in namespace .* 401 Unauthorized; trying again in/);
      // The helper uses the token that it has read for up to a second more: it may restore the secret once.
      for (let isRefused = false; !isRefused;) {
        await parts.admin({ method: "DELETE", path: secretPath(namespace, "ecr-creds-pull") });
        const restored = waitForObject(parts.options, path, () => true, timeout);
        isRefused = await Promise.race([refused.then(() => true), restored.then(() => false)]);
      }
      assert.equal((await refused).level, "error");
      assert.equal(await revoked.login(namespace), login);
      assert.ok(await revoked.isAccepted(login));
      const since = Date.now();
      await writeFile(tokenFile, parts.cluster.token);
      await waitForObject(parts.options, path, () => true, timeout);
      reportOutcome(t, "401, the token is replaced in its file", "the other login stayed and was taken", since);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("may be reset repeatedly during a pass: every namespace still gets the new login", async (t) => {
    assert.ok(torn);
    const namespaces = Array.from({ length: 20 }, (_, index) => `${id}-torn-${String(index)}`);
    for (const namespace of namespaces) await torn.parts.namespace(namespace);
    const first = torn.run();
    await first.line(/the secret will expire/);
    await first.stop();
    const login = await torn.login(namespaces[0] ?? "");
    const tears = torn.kubernetes.inject(
      ({ method, path }) => method === "PUT" && path.includes("/secrets/"),
      reset,
      3,
    );
    const helper = torn.run({ ECR_HELPER_PRINCIPAL: "other" });
    await tears.reached(3);
    const since = Date.now();
    for (const namespace of namespaces) await torn.waitForNewLogin(namespace, login);
    reportOutcome(t, "the connection is reset three times in a pass", "every other login stayed", since);
    assertNoPasswordLogged(helper.lines, [login]);
  });

  it("may fall silent: a deletion that the watches miss is reverted by the next refresh, long before they time out", async (t) => {
    assert.ok(silent);
    const namespace = `silent-${id}`;
    const helper = silent.run();
    await helper.line(/the secret will expire/);
    const login = await silent.login(namespace);
    for (const exchange of silent.kubernetes.openExchanges(() => true)) exchange.isMuted = true;
    await silent.parts.admin({ method: "DELETE", path: secretPath(namespace, "ecr-creds") });
    const since = Date.now();
    await silent.waitForNewLogin(namespace, login);
    reportOutcome(t, "the watches are silent", "put back by the next refresh", since);
  });
});
