import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { accountPath, secretPath, type ServiceAccount } from "../support/kept-objects.ts";
import type { Parts } from "../support/stack-parts.ts";
import { freePort } from "../support/api-server.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { succeeds } from "../local/process.ts";
import { waitForObject } from "../local/watch.ts";
import {
  answer,
  abort,
  abortAfterForward,
  delay,
  drip,
  truncate,
  kubernetesStatus,
  type Fault,
} from "../support/fault.ts";
import type { InjectedFault, RequestMatcher } from "../support/proxy.ts";
import {
  assertNoPasswordLogged,
  createProxiedHelper,
  reportOutcome,
  timeout,
  type ProxiedHelper,
} from "./proxied-helper.ts";

const id = randomBytes(3).toString("hex");
const gapsOf = ({ hits }: InjectedFault): number[] => hits.slice(1).map((at, index) => at - (hits[index] ?? 0));
const slug = (what: string): string => what.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");

interface Case {
  readonly fault: Fault;
  /** What the one line about it matches; undefined if nothing is logged. */
  readonly logged?: RegExp;
  /** The shortest pause before a retry, in milliseconds. */
  readonly minRetryMs?: number;
  /** How many retries may come without a pause. */
  readonly immediateRetries?: number;
}

// Reads and writes run at the same time, in namespaces of their own, to save half of the time.
describe("requests to the Kubernetes API that fail", { concurrency: true }, () => {
  describe("writes that fail, in a namespace each", { concurrency: true }, () => {
    const cases: Readonly<Record<string, Case>> = {
      "403": { fault: kubernetesStatus(403, "Forbidden"), logged: /answered 403 Forbidden; trying/ },
      "404": { fault: kubernetesStatus(404, "NotFound") },
      "409 again and again": { fault: kubernetesStatus(409, "Conflict"), logged: /answered 409 Conflict; trying/ },
      "410": { fault: kubernetesStatus(410, "Expired"), logged: /answered 410 Expired; trying/ },
      "422": { fault: kubernetesStatus(422, "Invalid"), logged: /answered 422 Invalid; trying/ },
      "429 with Retry-After": {
        fault: kubernetesStatus(429, "TooManyRequests", { "retry-after": "3" }),
        logged: /answered 429 TooManyRequests; trying/,
        minRetryMs: 3_000,
      },
      "500": { fault: kubernetesStatus(500, "InternalError"), logged: /answered 500 InternalError; trying/ },
      "503 by somebody else": {
        fault: answer(503, "busy"),
        logged: /answered 503 with something that is not Kubernetes'/,
      },
      "HTML instead of JSON": { fault: answer(200, "<html>"), logged: /is not Kubernetes' JSON/ },
      "broken off": { fault: abort, logged: /ended before its answer did; trying/ },
    };
    /** The API server carries out the request, but the client gets no answer. */
    const unanswered = { "cut off": truncate(100), "lost on its way back": abortAfterForward };
    const slow = { "slow by 2 s": delay(2_000), "slow, byte by byte": drip(40, 20) };
    const namespaceOf = (what: string): string => `${id}-w-${slug(what)}`;
    const names = [...Object.keys({ ...cases, ...slow, ...unanswered }), "healthy", "storm", "admission"];
    const oldLogins = new Map<string, string>();
    const injectedFaults = new Map<string, InjectedFault>();
    let proxied: ProxiedHelper;
    let helper: HelperProcess;
    let port = "";

    before(async () => {
      proxied = await createProxiedHelper([`${id}-w-*`], 600_000);
      for (const name of names)
        await proxied.parts.namespace(namespaceOf(name), { [`refuse-${id}`]: String(name === "admission") });
      const first = proxied.run();
      await first.line(/the secret will expire/);
      await first.stop();
      for (const name of names) oldLogins.set(name, await proxied.login(namespaceOf(name)));
      const faults = Object.entries(cases).map(([name, { fault }]) => [name, fault] as const);
      for (const [name, fault] of [...faults, ...Object.entries({ ...slow, ...unanswered })]) {
        const path = `${secretPath(namespaceOf(name), "ecr-creds")}?`;
        const isWrite: RequestMatcher = ({ method, path: requestPath }) =>
          method === "PUT" && requestPath.startsWith(path);
        injectedFaults.set(name, proxied.kubernetes.inject(isWrite, fault));
      }
      await refuse(proxied.parts, namespaceOf("admission"));
      port = String(await freePort());
      // A helper with another identity requests another token at once, which it has to write to every namespace.
      helper = proxied.run({ ECR_HELPER_PRINCIPAL: "other", ECR_HELPER_PORT: port });
    });
    after(async () => {
      await allow(proxied.parts);
      await proxied.close();
    });

    it("delay no other namespace, not even slow ones, and the helper stays alive", async (t) => {
      const since = Date.now();
      for (const name of ["healthy", ...Object.keys(slow)]) {
        await proxied.waitForNewLogin(namespaceOf(name), oldLogins.get(name) ?? "");
        reportOutcome(t, `writes are ${name}`, "written all the same", since);
      }
      assert.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200);
    });

    for (const [what, { logged, minRetryMs = 0 }] of Object.entries(cases)) {
      it(`leave the last login in place, are logged once and are retried soon: ${what}`, async (t) => {
        const injected = injectedFaults.get(what);
        assert.ok(injected);
        await injected.reached(3);
        const namespace = namespaceOf(what);
        const login = await proxied.login(namespace);
        assert.equal(login, oldLogins.get(what));
        assert.ok(await proxied.isAccepted(login));
        // The third request may be the first that is logged, and its line comes after its answer.
        if (logged !== undefined)
          await helper.line(new RegExp(`^secret/ecr-creds failed in namespace ${namespace}: .*(${logged.source})`));
        const lines = helper.lines.filter(
          (line) => line["namespace"] === namespace && line["object"] === "secret/ecr-creds",
        );
        assert.equal(lines.length, logged === undefined ? 0 : 1, lines.map(({ message }) => message).join("\n"));
        const gaps = gapsOf(injected);
        assert.ok(
          gaps.every((gap) => gap >= Math.max(450, minRetryMs - 50)),
          `tried again after ${gaps.join(", ")} ms`,
        );
        const since = Date.now();
        injected.lift();
        const renewed = await proxied.waitForNewLogin(namespace, oldLogins.get(what) ?? "");
        reportOutcome(t, `a write: ${what}`, "the last login stayed and was taken", since);
        assertNoPasswordLogged(helper.lines, [login, renewed]);
      });
    }

    for (const what of Object.keys(unanswered)) {
      it(`take effect although the answer is ${what}`, async (t) => {
        const since = Date.now();
        await injectedFaults.get(what)?.reached(1);
        const renewed = await proxied.waitForNewLogin(namespaceOf(what), oldLogins.get(what) ?? "");
        reportOutcome(t, `a write's answer is ${what}`, "the new login is there", since);
        assertNoPasswordLogged(helper.lines, [renewed]);
      });
    }

    it("leave the last login in place if an admission policy denies them, and the log names the policy", async (t) => {
      const namespace = namespaceOf("admission");
      const line = await helper.line(new RegExp(`secret/ecr-creds failed in namespace ${namespace}: .* refused by `));
      assert.match(
        line.message,
        new RegExp(`422 Invalid, refused by ValidatingAdmissionPolicy 'refuse-${id}'; trying again`),
      );
      assert.equal(await proxied.login(namespace), oldLogins.get("admission"));
      assert.ok(await proxied.isAccepted(oldLogins.get("admission") ?? ""));
      const since = Date.now();
      await allow(proxied.parts);
      await proxied.waitForNewLogin(namespace, oldLogins.get("admission") ?? "");
      reportOutcome(t, "an admission policy refuses", "the last login stayed and was taken", since);
    });

    it("to a service account that always conflict are repeated ten times without a pause, then with backoff", async (t) => {
      const namespace = namespaceOf("storm");
      const path = accountPath(namespace);
      const isPatch: RequestMatcher = ({ method, path: requestPath }) =>
        method === "PATCH" && requestPath.startsWith(`${path}?`);
      const storm = proxied.kubernetes.inject(isPatch, kubernetesStatus(409, "Conflict"));
      const body = { secrets: null };
      await proxied.parts.admin({ method: "PATCH", path, contentType: "application/merge-patch+json", body });
      await storm.reached(21);
      const gaps = gapsOf(storm);
      // After the tenth write and the twentieth. A busy machine may delay others, but not most of them.
      for (const pause of [gaps[9], gaps[19]]) assert.ok((pause ?? 0) >= 450, gaps.join(", "));
      assert.ok(gaps.filter((gap) => gap >= 450).length < gaps.length / 2, gaps.join(", "));
      const since = Date.now();
      storm.lift();
      const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa`;
      await waitForObject<ServiceAccount>(
        proxied.parts.options,
        accounts,
        ({ secrets }) => secrets !== undefined,
        timeout,
      );
      reportOutcome(t, "a storm of conflicts on a service account", "21 writes in three attempts", since);
    });
  });

  describe("reads that fail, in a namespace each", { concurrency: true }, () => {
    const cases: Readonly<Record<string, Case>> = {
      "410 to lists and watches": { fault: kubernetesStatus(410, "Expired"), immediateRetries: 1 },
      "429 with Retry-After": {
        fault: kubernetesStatus(429, "TooManyRequests", { "retry-after": "3" }),
        minRetryMs: 3_000,
      },
      "403": { fault: kubernetesStatus(403, "Forbidden"), logged: /cannot be read: .*answered 403/ },
      "500": { fault: kubernetesStatus(500, "InternalError") },
      "the watch is closed at once": { fault: answer(200) },
      "the watch is garbage": { fault: answer(200, "garbage\ngarbage\n") },
      "HTML instead of JSON": { fault: answer(200, "<html>\n</html>\n") },
      "the request is broken off": { fault: abort },
      "slow, byte by byte": { fault: drip(10, 20) },
    };
    const namespaceOf = (what: string): string => `${slug(what)}-${id}`;
    const names = [...Object.keys(cases), "healthy"];
    const injectedFaults = new Map<string, InjectedFault>();
    let proxied: ProxiedHelper;
    let helper: HelperProcess;

    const remove = async (what: string): Promise<void> => {
      await proxied.parts.admin({ method: "DELETE", path: secretPath(namespaceOf(what), "ecr-creds") });
    };

    before(async () => {
      proxied = await createProxiedHelper(names.map(namespaceOf), 600_000);
      helper = proxied.run();
      await helper.line(/the secret will expire/);
      for (const [what, { fault }] of Object.entries(cases)) {
        const path = `/api/v1/namespaces/${namespaceOf(what)}/secrets?fieldSelector=metadata.name%3Decr-creds&`;
        const isRead: RequestMatcher = ({ method, path: requestPath }) =>
          method === "GET" && requestPath.startsWith(path);
        injectedFaults.set(what, proxied.kubernetes.inject(isRead, fault));
        for (const { outgoing } of proxied.kubernetes.openExchanges(isRead)) outgoing.destroy();
      }
      for (const injected of injectedFaults.values()) await injected.reached(1);
      for (const what of names) await remove(what);
    });
    after(async () => proxied.close());

    it("delay no other namespace", async (t) => {
      const since = Date.now();
      await proxied.waitForNewLogin(namespaceOf("healthy"), "");
      reportOutcome(t, "reads fail elsewhere", "put back all the same", since);
    });

    for (const [what, { logged, minRetryMs = 0, immediateRetries = 0 }] of Object.entries(cases)) {
      it(`are retried with pauses, and missed changes are reverted soon after: ${what}`, async (t) => {
        const injected = injectedFaults.get(what);
        assert.ok(injected);
        if (!what.startsWith("slow")) await injected.reached(3);
        const gaps = gapsOf(injected);
        const quick = gaps.filter((gap) => gap < Math.max(450, minRetryMs - 50));
        assert.ok(quick.length <= immediateRetries, `tried again after ${gaps.join(", ")} ms`);
        if (logged !== undefined) assert.match((await helper.line(/cannot be read/)).message, logged);
        const since = Date.now();
        injected.lift();
        const login = await proxied.waitForNewLogin(namespaceOf(what), "");
        reportOutcome(t, `reads: ${what}`, `${String(injected.hits.length)} requests, the rest goes on`, since);
        assertNoPasswordLogged(helper.lines, [login]);
      });
    }
  });
});

const admission = "/apis/admissionregistration.k8s.io/v1";
const [policies, bindings] = ["validatingadmissionpolicies", "validatingadmissionpolicybindings"].map(
  (one) => `${admission}/${one}`,
);

/** Makes the API server deny every secret in namespaces with a label, and waits until it does so in `namespace`. */
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
  // The API server reads its policies through a watch and does not report when it has seen one.
  const path = `/api/v1/namespaces/${namespace}/secrets?dryRun=All`;
  while (await succeeds(admin({ method: "POST", path, body: { metadata: { name: "probe" } } })));
}

async function allow({ admin }: Parts): Promise<void> {
  for (const path of [bindings, policies])
    await succeeds(admin({ method: "DELETE", path: `${String(path)}/refuse-${id}` }));
}
