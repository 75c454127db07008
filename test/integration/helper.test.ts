import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { createKubeClient } from "../../helper/kube/client.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import type { KubeRequest } from "../../helper/kube/types.ts";
import { ownerNames } from "../../helper/shared/ownership.ts";
import { HelperProcess } from "../support/helper-process.ts";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { loopback, ports, url } from "../local/settings.ts";
import { waitFor, waitUntilGone } from "../local/watch.ts";
import { loginStatus } from "../support/registry-login.ts";
import { defaultRoleName } from "../support/role-name.ts";
import { decode, pullPasswords, secretPath, type Secret } from "../support/kept-objects.ts";
import { kubeOptionsOf } from "../support/kube-options.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const [first, second, late] = [`first-${id}`, `second-${id}`, `late-${id}`];

describe("the helper, with the stack's own rights", () => {
  let parts: Parts;
  let helper: HelperProcess;
  const secret = async (namespace: string, name: string): Promise<Secret> => parts.secret(namespace, name);

  before(async () => {
    parts = await makeParts([first, second, late], { absent: [late] });
    const body = {
      metadata: { name: "builder-sa" },
      secrets: [{ name: "theirs" }],
      imagePullSecrets: [{ name: "theirs-too" }],
    };
    await parts.admin({ method: "POST", path: `/api/v1/namespaces/${second}/serviceaccounts`, body });
    helper = parts.run();
    await helper.line(/the secret will expire at/);
  });

  after(async () => parts.remove());

  it("writes a login that the registry accepts, and no other works", async () => {
    const { type, data, metadata } = await secret(first, "ecr-creds");
    assert.equal(type, "kubernetes.io/basic-auth");
    assert.equal(decode(data["username"]), "AWS");
    assert.equal(await loginStatus(ports.registry, decode(data["password"])), 200);
    assert.equal(await loginStatus(ports.registry, "another"), 401);
    assert.equal((await fetch(`${url(ports.registry)}/v2/`)).status, 401);
    const host = parts.env["ECR_HELPER_REGISTRIES"];
    assert.equal(metadata.annotations["tekton.dev/docker-0"], `https://${String(host)}`);
    const remaining = Date.parse(metadata.annotations["ecr-helper/expires-at"] ?? "") - Date.now();
    assert.ok(remaining > 11 * 3_600_000 && remaining <= 12 * 3_600_000);
  });

  it("writes the same login as a docker config", async () => {
    const found = await secret(first, "ecr-creds-pull");
    assert.equal(found.type, "kubernetes.io/dockerconfigjson");
    const pulls = pullPasswords(found);
    const host = String(parts.env["ECR_HELPER_REGISTRIES"]);
    assert.deepEqual(Object.keys(pulls), [host, `https://${host}`]);
    assert.equal(pulls[host], decode((await secret(first, "ecr-creds")).data["password"]));
  });

  it("creates a service account with both secrets if there is none", async () => {
    const made = await parts.account(first);
    assert.deepEqual(made.secrets, [{ name: "ecr-creds" }]);
    assert.deepEqual(made.imagePullSecrets, [{ name: "ecr-creds-pull" }]);
  });

  it("extends an existing service account, and keeps foreign entries", async () => {
    const extended = await parts.account(second);
    assert.deepEqual(extended.secrets, [{ name: "theirs" }, { name: "ecr-creds" }]);
    assert.deepEqual(extended.imagePullSecrets, [{ name: "theirs-too" }, { name: "ecr-creds-pull" }]);
  });

  it("keeps a pull secret in its own namespace, and nothing else there", async () => {
    const own = String(parts.env["ECR_HELPER_NAMESPACE"]);
    assert.equal((await secret(own, "ecr-creds-pull")).type, "kubernetes.io/dockerconfigjson");
    await assert.rejects(secret(own, "ecr-creds"), (error: KubeError) => error.status === 404);
  });

  it("reports a namespace that does not exist, and serves it once it is created with its Role", async () => {
    await helper.line(new RegExp(`namespace ${late} cannot be read: .*403.*pulumi up --refresh`));
    await parts.namespace(late);
    const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${late}`;
    const name = defaultRoleName(parts.owner);
    const source = await parts.admin<{ rules: object[] }>({
      method: "GET",
      path: `/apis/rbac.authorization.k8s.io/v1/namespaces/${first}/roles/${name}`,
    });
    await parts.admin({ method: "POST", path: `${path}/roles`, body: { metadata: { name }, rules: source.rules } });
    const subjects = [{ kind: "ServiceAccount", name: "ecr-helper", namespace: parts.env["ECR_HELPER_NAMESPACE"] }];
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name };
    await parts.admin({
      method: "POST",
      path: `${path}/rolebindings`,
      body: { metadata: { name }, roleRef, subjects },
    });
    await helper.line(new RegExp(`secret/ecr-creds configured in namespace ${late}`), 0, 60_000);
    assert.equal((await secret(late, "ecr-creds")).type, "kubernetes.io/basic-auth");
  });

  it("has no other rights: its token allows no other object and no other verb, and cannot read a login", async () => {
    const kube = createKubeClient(kubeOptionsOf(parts.cluster));
    const body = { apiVersion: "v1", kind: "Secret", metadata: { name: "other", namespace: first } };
    const apply = { contentType: "application/apply-patch+yaml", body } as const;
    const refused: KubeRequest[] = [
      { method: "GET", path: secretPath(first, "other") },
      { method: "GET", path: `/api/v1/namespaces/${first}/secrets` },
      { method: "GET", path: "/api/v1/secrets" },
      { method: "GET", path: secretPath("kube-system", "ecr-creds") },
      { method: "PATCH", path: `${secretPath(first, "other")}?fieldManager=x`, ...apply },
      {
        method: "POST",
        path: `/api/v1/namespaces/${first}/secrets`,
        body: { ...body, metadata: { name: "ecr-creds" } },
      },
      { method: "GET", path: secretPath(first, "ecr-creds") },
      { method: "GET", path: `/api/v1/namespaces/${first}/secrets?fieldSelector=metadata.name%3Dother` },
      { method: "GET", path: "/api/v1/secrets?fieldSelector=metadata.name%3Decr-creds" },
      { method: "DELETE", path: secretPath(first, "other") },
      { method: "DELETE", path: `/api/v1/namespaces/${first}/secrets` },
      { method: "GET", path: `/api/v1/namespaces/${first}/serviceaccounts/default` },
      { method: "GET", path: "/api/v1/namespaces" },
      { method: "GET", path: `/api/v1/namespaces/${String(parts.env["ECR_HELPER_NAMESPACE"])}/secrets/ecr-helper` },
    ];
    for (const call of refused) {
      // The tests of the whole run (test/whole-run) ignore dry runs.
      const path = `${call.path}${call.path.includes("?") ? "&" : "?"}dryRun=All`;
      await assert.rejects(
        kube({ ...call, path }),
        (error: KubeError) => error.status === 403,
        `${call.method} ${call.path}`,
      );
    }
  });

  it("ends cleanly on SIGTERM, and shows no token or key in its log", async () => {
    const tokens = [
      decode((await secret(first, "ecr-creds")).data["password"]),
      String(parts.env["AWS_SECRET_ACCESS_KEY"]),
    ];
    const { code, took } = await helper.stop();
    assert.equal(code, 0);
    assert.ok(took < 1_000, `${String(took)} ms`);
    assert.equal(helper.lines.at(-1)?.message, "stopped");
    for (const token of tokens) assert.ok(!JSON.stringify(helper.lines).includes(token));
  });

  it("leaves only foreign objects when its owners are deleted", async () => {
    for (const name of ownerNames({ owner: parts.owner }))
      await parts.admin({ method: "DELETE", path: `/apis/rbac.authorization.k8s.io/v1/clusterroles/${name}` });
    const selector = encodeURIComponent(`app.kubernetes.io/instance=${parts.owner}`);
    for (const plural of ["secrets", "serviceaccounts"])
      await waitUntilGone(parts.options, `/api/v1/${plural}?labelSelector=${selector}`, 60_000);
    assert.ok((await parts.account(second)).secrets?.some(({ name }) => name === "theirs"));
  });
});

describe("the helper, over time and beside other writers", () => {
  const namespace = `time-${id}`;
  let parts: Parts;
  let gateway: Gateway;

  before(async () => {
    parts = await makeParts([namespace]);
    // A separate gateway, whose tokens live so briefly that the test sees several refreshes.
    const any = { address: loopback, port: 0 };
    gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife: 12_000 });
  });

  after(async () => {
    await gateway.close();
    await parts.remove();
  });

  const run = (env: Record<string, string> = {}): HelperProcess =>
    parts.run({ AWS_ENDPOINT_URL: url(gateway.api), ...env });

  it("is denied by ECR without the stack's key, and writes nothing", async () => {
    const helper = run({ AWS_SECRET_ACCESS_KEY: "wrong" });
    await helper.line(/no authorization token/);
    await helper.stop();
    assert.ok(!helper.lines.some(({ message }) => message.includes("configured")));
    await assert.rejects(parts.secret(namespace), (error: KubeError) => error.status === 404);
  });

  it("leaves a foreign secret alone, reports it in an Event, and serves the rest", async () => {
    const type = "kubernetes.io/basic-auth";
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    const body = { metadata: { name: "ecr-creds" }, type, stringData: { username: "theirs", password: "theirs" } };
    const theirs = await parts.admin<Secret>({ method: "POST", path, body });
    const helper = run();
    await helper.line(/secret\/ecr-creds failed .* was not made by this helper/);
    await helper.line(/secret\/ecr-creds-pull configured in namespace time/);
    const events = `/api/v1/namespaces/${namespace}/events?fieldSelector=reason%3DForeignObject`;
    const { object } = await waitFor<{ message: string }>(
      parts.options,
      events,
      ({ type: change }) => change === "ADDED",
      20_000,
    );
    assert.match(object?.message ?? "", /ecr-creds exists and was not made by this helper/);
    const still = await parts.admin<Secret>({ method: "GET", path: secretPath(namespace, "ecr-creds") });
    assert.equal(still.metadata.resourceVersion, theirs.metadata.resourceVersion);
    await parts.admin({ method: "DELETE", path: secretPath(namespace, "ecr-creds") });
    await helper.line(/secret\/ecr-creds configured/);
    await helper.stop();
  });

  it("replaces each token at half of its life, so that the registry accepts it at all times", async () => {
    const helper = run();
    const seen = new Set<string>();
    const path = `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3Decr-creds`;
    await helper.line(/the secret will expire/);
    await waitFor<Secret>(
      parts.options,
      path,
      ({ type, object }) => {
        if (type !== "LISTED") seen.add(decode(object.data["password"]));
        return seen.size === 3;
      },
      60_000,
    );
    const [, , latest = ""] = seen;
    assert.equal(await loginStatus(gateway.registry, latest), 200);
    await helper.stop();
  });

  it("keeps the last good login while IAM denies, and continues once it allows again", async () => {
    const helper = run();
    await helper.line(/the secret will expire/);
    await parts.attach(false);
    const before = helper.lines.length;
    await helper.line(
      /no authorization token for us-east-1: .*not authorized.*the last good token stays in place/s,
      before,
    );
    const kept = await parts.admin<Secret>({ method: "GET", path: secretPath(namespace, "ecr-creds") });
    await parts.attach(true);
    await helper.line(/the secret will expire/, before, 60_000);
    const renewed = await parts.admin<Secret>({ method: "GET", path: secretPath(namespace, "ecr-creds") });
    assert.notEqual(renewed.data["password"], kept.data["password"]);
    assert.equal(renewed.metadata.uid, kept.metadata.uid, "it was never deleted");
    await helper.stop();
  });
});
