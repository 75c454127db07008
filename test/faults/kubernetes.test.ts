import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { accountPath, secretPath, type Parts, type ServiceAccount } from "../support/stack-parts.ts";
import { freePort } from "../support/api-server.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { succeeds } from "../local/process.ts";
import { waitForObject } from "../local/watch.ts";
import { answer, abortAfterForward, abort, truncate, delay, drip, reset, type Fault } from "../support/fault.ts";
import type { RequestMatcher, InjectedFault } from "../support/proxy.ts";
import { assertNoPasswordLogged, createProxiedHelper, timeout, type ProxiedHelper } from "./proxied-helper.ts";

const id = randomBytes(3).toString("hex");
const status = (code: number, reason: string, headers = {}): Fault =>
  answer(code, { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message: "the test" }, headers);
const outcome = (t: TestContext, what: string, held: string, since: number): void =>
  t.diagnostic(`outcome: Kubernetes: ${what} | ${held} | recovered after ${String(Date.now() - since)} ms`);
const gapsOf = ({ hits }: InjectedFault): number[] => hits.slice(1).map((at, index) => at - (hits[index] ?? 0));
const slug = (what: string): string => what.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");

interface Case {
  readonly fault: Fault;
  /** What the log says of it, once; nothing where undefined. */
  readonly says?: RegExp;
  /** It is not tried again sooner, in milliseconds. */
  readonly pause?: number;
  /** It is tried so often at once. */
  readonly atOnce?: number;
}

describe("the Kubernetes API", { concurrency: true }, () => {
  describe("writes that fail, in a namespace each", { concurrency: true }, () => {
    const cases: Readonly<Record<string, Case>> = {
      "403": { fault: status(403, "Forbidden"), says: /answered 403 Forbidden; trying/ },
      "404": { fault: status(404, "NotFound") },
      "409 again and again": { fault: status(409, "Conflict"), says: /answered 409 Conflict; trying/ },
      "410": { fault: status(410, "Expired"), says: /answered 410 Expired; trying/ },
      "422": { fault: status(422, "Invalid"), says: /answered 422 Invalid; trying/ },
      "429 with Retry-After": {
        fault: status(429, "TooManyRequests", { "retry-after": "3" }),
        says: /answered 429 TooManyRequests; trying/,
        pause: 3_000,
      },
      "500": { fault: status(500, "InternalError"), says: /answered 500 InternalError; trying/ },
      "503 by somebody else": {
        fault: answer(503, "busy"),
        says: /answered 503 with something that is not Kubernetes'/,
      },
      "HTML instead of JSON": { fault: answer(200, "<html>"), says: /is not Kubernetes' JSON/ },
      "broken off": { fault: abort, says: /ended before its answer did; trying/ },
    };
    /** What was asked for is done, and nobody told. */
    const untold = { "cut off": truncate(100), "lost on its way back": abortAfterForward };
    const slow = { "slow by 2 s": delay(2_000), "slow, byte by byte": drip(40, 20) };
    const namespaceOf = (what: string): string => `${id}-w-${slug(what)}`;
    const names = [...Object.keys({ ...cases, ...slow, ...untold }), "healthy", "storm", "admission"];
    const old = new Map<string, string>();
    const outages = new Map<string, InjectedFault>();
    let scene: ProxiedHelper;
    let helper: HelperProcess;
    let port = "";

    before(async () => {
      scene = await createProxiedHelper([`${id}-w-*`], 600_000);
      for (const name of names)
        await scene.parts.namespace(namespaceOf(name), { [`refuse-${id}`]: String(name === "admission") });
      const first = scene.run();
      await first.line(/the secret will expire/);
      await first.stop();
      for (const name of names) old.set(name, await scene.login(namespaceOf(name)));
      const faults = Object.entries(cases).map(([name, { fault }]) => [name, fault] as const);
      for (const [name, fault] of [...faults, ...Object.entries({ ...slow, ...untold })]) {
        const path = `${secretPath(namespaceOf(name), "ecr-creds")}?`;
        const isWrite: RequestMatcher = ({ method, path: asked }) => method === "PATCH" && asked.startsWith(path);
        outages.set(name, scene.kubernetes.inject(isWrite, fault));
      }
      await refuse(scene.parts, namespaceOf("admission"));
      port = String(await freePort());
      // Somebody else to AWS asks for another token at once, which every namespace has to get.
      helper = scene.run({ ECR_HELPER_PRINCIPAL: "other", ECR_HELPER_PORT: port });
    });
    after(async () => {
      await allow(scene.parts);
      await scene.close();
    });

    it("hold up no other namespace, not even where they are slow, and the helper is alive", async (t) => {
      const since = Date.now();
      for (const name of ["healthy", ...Object.keys(slow)]) {
        await scene.waitForNewLogin(namespaceOf(name), old.get(name) ?? "");
        outcome(t, `writes are ${name}`, "written all the same", since);
      }
      assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
    });

    for (const [what, { says, pause = 0 }] of Object.entries(cases)) {
      it(`leave the last login, are told of once, and are tried again soon: ${what}`, async (t) => {
        const outage = outages.get(what);
        assert.ok(outage);
        await outage.reached(3);
        const namespace = namespaceOf(what);
        const login = await scene.login(namespace);
        assert.equal(login, old.get(what));
        assert.ok(await scene.isAccepted(login));
        // The third request may be the first that is told of, and that it is told after its answer.
        if (says !== undefined)
          await helper.line(new RegExp(`^secret/ecr-creds failed in namespace ${namespace}: .*(${says.source})`));
        const lines = helper.lines.filter(
          (line) => line["namespace"] === namespace && line["object"] === "secret/ecr-creds",
        );
        assert.equal(lines.length, says === undefined ? 0 : 1, lines.map(({ message }) => message).join("\n"));
        const gaps = gapsOf(outage);
        assert.ok(
          gaps.every((gap) => gap >= Math.max(450, pause - 50)),
          `tried again after ${gaps.join(", ")} ms`,
        );
        const since = Date.now();
        outage.lift();
        const renewed = await scene.waitForNewLogin(namespace, old.get(what) ?? "");
        outcome(t, `a write: ${what}`, "the last login stayed and was taken", since);
        assertNoPasswordLogged(helper.lines, [login, renewed]);
      });
    }

    for (const what of Object.keys(untold)) {
      it(`are seen to be done where the answer is ${what}`, async (t) => {
        const since = Date.now();
        await outages.get(what)?.reached(1);
        const renewed = await scene.waitForNewLogin(namespaceOf(what), old.get(what) ?? "");
        outcome(t, `a write's answer is ${what}`, "the new login is there", since);
        assertNoPasswordLogged(helper.lines, [renewed]);
      });
    }

    it("leave the last login where an admission policy refuses them, and the log names it", async (t) => {
      const namespace = namespaceOf("admission");
      const line = await helper.line(new RegExp(`secret/ecr-creds failed in namespace ${namespace}: .* refused by `));
      assert.match(
        line.message,
        new RegExp(`422 Invalid, refused by ValidatingAdmissionPolicy 'refuse-${id}'; trying again`),
      );
      assert.equal(await scene.login(namespace), old.get("admission"));
      assert.ok(await scene.isAccepted(old.get("admission") ?? ""));
      const since = Date.now();
      await allow(scene.parts);
      await scene.waitForNewLogin(namespace, old.get("admission") ?? "");
      outcome(t, "an admission policy refuses", "the last login stayed and was taken", since);
    });

    it("to a service account that somebody always writes first are repeated ten times at once, then more slowly", async (t) => {
      const namespace = namespaceOf("storm");
      const path = accountPath(namespace);
      const isPatch: RequestMatcher = ({ method, path: asked }) => method === "PATCH" && asked.startsWith(`${path}?`);
      const storm = scene.kubernetes.inject(isPatch, status(409, "Conflict"));
      const body = { secrets: null };
      await scene.parts.admin({ method: "PATCH", path, contentType: "application/merge-patch+json", body });
      await storm.reached(21);
      const slowly = gapsOf(storm).filter((gap) => gap >= 450);
      assert.equal(slowly.length, 2, gapsOf(storm).join(", "));
      const since = Date.now();
      storm.lift();
      const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa`;
      await waitForObject<ServiceAccount>(
        scene.parts.options,
        accounts,
        ({ secrets }) => secrets !== undefined,
        timeout,
      );
      outcome(t, "a storm of conflicts on a service account", "21 writes in three attempts", since);
    });
  });

  describe("reads that fail, in a namespace each", { concurrency: true }, () => {
    const cases: Readonly<Record<string, Case>> = {
      "410 to lists and watches": { fault: status(410, "Expired"), atOnce: 1 },
      "429 with Retry-After": { fault: status(429, "TooManyRequests", { "retry-after": "3" }), pause: 3_000 },
      "403": { fault: status(403, "Forbidden"), says: /cannot be read: .*answered 403/ },
      "500": { fault: status(500, "InternalError") },
      "the watch is closed at once": { fault: answer(200) },
      "the watch is garbage": { fault: answer(200, "garbage\ngarbage\n") },
      "HTML instead of JSON": { fault: answer(200, "<html>\n</html>\n") },
      "the request is broken off": { fault: abort },
      "slow, byte by byte": { fault: drip(10, 20) },
    };
    const namespaceOf = (what: string): string => `${slug(what)}-${id}`;
    const names = [...Object.keys(cases), "healthy"];
    const outages = new Map<string, InjectedFault>();
    let scene: ProxiedHelper;
    let helper: HelperProcess;

    const remove = async (what: string): Promise<void> => {
      await scene.parts.admin({ method: "DELETE", path: secretPath(namespaceOf(what), "ecr-creds") });
    };

    before(async () => {
      scene = await createProxiedHelper(names.map(namespaceOf), 600_000);
      helper = scene.run();
      await helper.line(/the secret will expire/);
      for (const [what, { fault }] of Object.entries(cases)) {
        const path = `/api/v1/namespaces/${namespaceOf(what)}/secrets?fieldSelector=metadata.name%3Decr-creds&`;
        const isRead: RequestMatcher = ({ method, path: asked }) => method === "GET" && asked.startsWith(path);
        outages.set(what, scene.kubernetes.inject(isRead, fault));
        for (const { outgoing } of scene.kubernetes.openExchanges(isRead)) outgoing.destroy();
      }
      for (const outage of outages.values()) await outage.reached(1);
      for (const what of names) await remove(what);
    });
    after(async () => scene.close());

    it("hold up no other namespace", async (t) => {
      const since = Date.now();
      await scene.waitForNewLogin(namespaceOf("healthy"), "");
      outcome(t, "reads fail elsewhere", "put back all the same", since);
    });

    for (const [what, { says, pause = 0, atOnce = 0 }] of Object.entries(cases)) {
      it(`make no hot loop, and what was missed is put right soon after: ${what}`, async (t) => {
        const outage = outages.get(what);
        assert.ok(outage);
        if (!what.startsWith("slow")) await outage.reached(3);
        const gaps = gapsOf(outage);
        const quick = gaps.filter((gap) => gap < Math.max(450, pause - 50));
        assert.ok(quick.length <= atOnce, `tried again after ${gaps.join(", ")} ms`);
        if (says !== undefined) assert.match((await helper.line(/cannot be read/)).message, says);
        const since = Date.now();
        outage.lift();
        const login = await scene.waitForNewLogin(namespaceOf(what), "");
        outcome(t, `reads: ${what}`, `${String(outage.hits.length)} requests, the rest goes on`, since);
        assertNoPasswordLogged(helper.lines, [login]);
      });
    }
  });

  describe("the way to the API server", { concurrency: true }, () => {
    let [away, revoked, silent, torn]: ProxiedHelper[] = [];
    before(async () => {
      away = await createProxiedHelper([`away-${id}`], 600_000);
      revoked = await createProxiedHelper([`revoked-${id}`], 600_000);
      silent = await createProxiedHelper([`silent-${id}`], 14_000);
      torn = await createProxiedHelper([`${id}-torn-*`], 600_000);
    });
    after(async () => {
      for (const scene of [away, revoked, silent, torn]) await scene?.close();
    });

    it("may be closed at the start: the helper waits for it, alive, and asks ECR once", async (t) => {
      assert.ok(away);
      const port = String(await freePort());
      await away.kubernetes.stopListening();
      const helper = away.run({ ECR_HELPER_PORT: port });
      await helper.line(/cannot look for the last helper's tokens: .*ECONNREFUSED.*; trying again in/);
      assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
      assert.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 503);
      const asked = away.aws.inject(() => true, delay(0));
      const since = Date.now();
      await away.kubernetes.listen();
      const login = await away.waitForNewLogin(`away-${id}`, "");
      outcome(t, "unreachable at the start", "alive, not ready, ECR is not asked", since);
      await helper.line(/the secret will expire/);
      assert.equal(asked.hits.length, 1);
      assertNoPasswordLogged(helper.lines, [login]);
    });

    it("may be lost with a token that is revoked, until its file has another", async (t) => {
      assert.ok(revoked);
      const { parts } = revoked;
      const [own, namespace] = [String(parts.env["ECR_HELPER_NAMESPACE"]), `revoked-${id}`];
      const folder = await mkdtemp(join(tmpdir(), "ecr-helper-token-"));
      const tokenFile = join(folder, "token");
      try {
        await writeFile(tokenFile, parts.cluster.token);
        const helper = revoked.run({}, { tokenFile });
        await helper.line(/the secret will expire/);
        const login = await revoked.login(namespace);
        await writeFile(tokenFile, await revokedToken(parts, own));
        await parts.admin({ method: "DELETE", path: secretPath(namespace, "ecr-creds-pull") });
        const line = await helper.line(
          /secret\/ecr-creds-pull failed in namespace .* 401 Unauthorized; trying again in/,
        );
        assert.equal(line.level, "error");
        assert.equal(await revoked.login(namespace), login);
        assert.ok(await revoked.isAccepted(login));
        const since = Date.now();
        await writeFile(tokenFile, parts.cluster.token);
        const path = `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3Decr-creds-pull`;
        await waitForObject(parts.options, path, () => true, timeout);
        outcome(t, "401, the token is replaced in its file", "the other login stayed and was taken", since);
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    it("may be torn again and again while everything is written: what was not done is done after", async (t) => {
      assert.ok(torn);
      const namespaces = Array.from({ length: 20 }, (_, index) => `${id}-torn-${String(index)}`);
      for (const namespace of namespaces) await torn.parts.namespace(namespace);
      const first = torn.run();
      await first.line(/the secret will expire/);
      await first.stop();
      const login = await torn.login(namespaces[0] ?? "");
      const tears = torn.kubernetes.inject(({ method }) => method === "PATCH", reset, 3);
      const helper = torn.run({ ECR_HELPER_PRINCIPAL: "other" });
      await tears.reached(3);
      const since = Date.now();
      for (const namespace of namespaces) await torn.waitForNewLogin(namespace, login);
      outcome(t, "the connection is reset three times in a pass", "every other login stayed", since);
      assertNoPasswordLogged(helper.lines, [login]);
    });

    it("may fall silent: what its watches hide comes back with the next refresh, long before they are given up", async (t) => {
      assert.ok(silent);
      const namespace = `silent-${id}`;
      const helper = silent.run();
      await helper.line(/the secret will expire/);
      const login = await silent.login(namespace);
      for (const exchange of silent.kubernetes.openExchanges(() => true)) exchange.isMuted = true;
      await silent.parts.admin({ method: "DELETE", path: secretPath(namespace, "ecr-creds") });
      const since = Date.now();
      await silent.waitForNewLogin(namespace, login);
      outcome(t, "the watches are silent", "put back by the next refresh", since);
    });
  });
});

const admission = "/apis/admissionregistration.k8s.io/v1";
const [policies, bindings] = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"].map(
  (one) => `${admission}/${one}`,
);

/** Has the API server refuse every secret in the namespaces that are labelled for it, of which this is one. */
async function refuse({ admin }: Parts, namespace: string): Promise<void> {
  const metadata = { name: `refuse-${id}` };
  const rule = { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE", "UPDATE"], resources: ["secrets"] };
  const matchConstraints = { resourceRules: [rule] };
  const policy = {
    failurePolicy: "Fail",
    matchConstraints,
    validations: [{ expression: "false", message: "the test" }],
  };
  await admin({ method: "POST", path: String(policies), body: { metadata, spec: policy } });
  const matchResources = { namespaceSelector: { matchLabels: { [metadata.name]: "true" } } };
  const binding = { policyName: metadata.name, validationActions: ["Deny"], matchResources };
  await admin({ method: "POST", path: String(bindings), body: { metadata, spec: binding } });
  // The API server follows its own policies by a watch, and tells nobody when it has seen one.
  const path = `/api/v1/namespaces/${namespace}/secrets?dryRun=All`;
  while (await succeeds(admin({ method: "POST", path, body: { metadata: { name: "probe" } } })));
}

async function allow({ admin }: Parts): Promise<void> {
  for (const path of [bindings, policies])
    await succeeds(admin({ method: "DELETE", path: `${String(path)}/refuse-${id}` }));
}

/** A token of the helper's service account that the API server takes no more: what it was bound to is gone. */
async function revokedToken({ admin }: Parts, namespace: string): Promise<string> {
  const [secrets, name] = [`/api/v1/namespaces/${namespace}/secrets`, `bound-${id}`];
  const { metadata } = await admin<{ metadata: { uid: string } }>({
    method: "POST",
    path: secrets,
    body: { metadata: { name } },
  });
  const boundObjectRef = { apiVersion: "v1", kind: "Secret", name, uid: metadata.uid };
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/ecr-helper/token`;
  const { status } = await admin<{ status: { token: string } }>({
    method: "POST",
    path,
    body: { spec: { boundObjectRef } },
  });
  await admin({ method: "DELETE", path: `${secrets}/${name}` });
  return status.token;
}
