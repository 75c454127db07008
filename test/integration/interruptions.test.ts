import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { KubeError } from "../../helper/kube/errors.ts";
import { recordSaid } from "../local/audit-log.ts";
import { ports, url } from "../local/settings.ts";
import { waitForObject, waitUntilGone } from "../local/watch.ts";
import { ApiServer, freePort } from "../support/api-server.ts";
import {
  accountPath,
  decode,
  pullPasswords,
  secretPath,
  type Secret,
  type ServiceAccount,
} from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const timeout = 60_000;
const merge = "application/merge-patch+json";
const base64 = (text: string): string => Buffer.from(text).toString("base64");

const secretsOf = (namespace: string, name: string): string =>
  `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3D${name}`;

describe("an API server that ends and comes back", () => {
  let parts: Parts;
  let server: ApiServer;

  before(async () => {
    server = await ApiServer.start();
    parts = await makeParts([`${id}-*`], { config: { namespaceSelector: `builds=${id}` } });
  });

  after(async () => {
    await parts.remove();
    await server.kill();
  });

  /** What the helper misses in the meantime, through the cloud's own API server. */
  const meanwhile = async (round: string): Promise<void> => {
    await parts.admin({ method: "DELETE", path: secretPath(`${id}-deleted`, "ecr-creds") });
    await parts.namespace(`${id}-new-${round}`);
    const body = { metadata: { labels: { builds: null } } };
    await parts.admin({
      method: "PATCH",
      path: `/api/v1/namespaces/unlabelled-${id}-${round}`,
      contentType: merge,
      body,
    });
    await parts.admin({ method: "DELETE", path: accountPath(`${id}-account`) });
  };
  const allRight = async (round: string): Promise<void> => {
    for (const namespace of [`${id}-deleted`, `${id}-new-${round}`]) {
      await waitForObject<Secret>(parts.options, secretsOf(namespace, "ecr-creds"), () => true, timeout);
    }
    await waitUntilGone(parts.options, secretsOf(`unlabelled-${id}-${round}`, "ecr-creds"), timeout);
    const accounts = `/api/v1/namespaces/${id}-account/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa`;
    await waitForObject<ServiceAccount>(parts.options, accounts, ({ secrets }) => secrets !== undefined, timeout);
  };
  /** Has etcd forget all that was, as it does every few minutes: whoever asks for changes since then is told 410 Gone. */
  const compact = async (): Promise<void> => {
    const { metadata } = await parts.admin<{ metadata: { resourceVersion: string } }>({
      method: "GET",
      path: "/api/v1/nodes",
    });
    const body = JSON.stringify({ revision: metadata.resourceVersion, physical: true });
    const answer = await fetch(`${url(ports.etcd)}/v3/kv/compaction`, { method: "POST", body });
    assert.equal(answer.status, 200, await answer.text());
  };

  it("is found again, and nothing that happened meanwhile is missed, not even when its changes are forgotten", async () => {
    for (const name of ["deleted", "account"]) await parts.namespace(`${id}-${name}`);
    for (const round of ["kept", "forgotten"]) await parts.namespace(`unlabelled-${id}-${round}`, { builds: id });
    const helper = parts.run({ ECR_HELPER_LOG_LEVEL: "debug" }, { ...parts.cluster, server: server.options.server });
    await helper.line(/the secret will expire/);
    for (const round of ["kept", "forgotten"]) {
      await server.kill();
      await meanwhile(round);
      if (round === "forgotten") await compact();
      await server.start();
      await allRight(round);
    }
    assert.ok(
      helper.lines.some(({ message }) => / 410 /.test(message)),
      "a watch was told that its version is gone",
    );
    assert.equal((await helper.stop()).code, 0);
  });
});

describe("a helper that starts anew", () => {
  let parts: Parts;
  const names = [`a-${id}`, `b-${id}`];
  before(async () => (parts = await makeParts(names)));
  after(async () => parts.remove());

  const versions = async (): Promise<string[]> => {
    const all = names.flatMap((namespace) => [
      parts.secret(namespace),
      parts.secret(namespace, "ecr-creds-pull"),
      parts.account(namespace),
    ]);
    return (await Promise.all(all)).map(({ metadata }) => metadata.resourceVersion);
  };

  it("asks ECR for nothing and writes nothing where all is right, is ready, and tells so", async () => {
    const first = parts.run();
    await first.line(/the secret will expire/);
    await first.stop();
    const before = await versions();
    const port = await freePort();
    const again = parts.run({ ECR_HELPER_PORT: String(port) });
    await again.line(/the secret will expire/);
    assert.deepEqual(await versions(), before);
    const ask = async (path: string): Promise<string> =>
      (await fetch(`http://127.0.0.1:${String(port)}${path}`)).text();
    assert.equal(await ask("/readyz"), "ok\n");
    assert.equal(await ask("/healthz"), "ok\n");
    const metrics = await ask("/metrics");
    recordSaid("metrics", metrics);
    assert.match(metrics, /^ecr_helper_token_requests_total\{region="us-east-1",login="pull",result="success"\} 0$/m);
    assert.match(metrics, /^ecr_helper_targets\{state="right"\} 3$/m);
    assert.match(
      metrics,
      /^ecr_helper_token_expiry_timestamp_seconds\{registry="\d+\.dkr\.ecr\.us-east-1\.amazonaws\.com",region="us-east-1",login="pull"\} \d+/m,
    );
    assert.ok(!/ecr_helper_applies_total\{/.test(metrics));
    assert.match(metrics, /verb="list",resource="secrets",code="200"\} 5/);
    await again.stop();
  });

  it("asks anew, and writes what it got, when it is somebody else to AWS", async () => {
    const before = await versions();
    const helper = parts.run({ ECR_HELPER_PRINCIPAL: "arn:aws:iam::123456789012:role/other" });
    await helper.line(/secret\/ecr-creds configured in namespace a-.*/);
    await helper.line(/the secret will expire/);
    await helper.stop();
    const after = await versions();
    assert.equal(
      after.filter((version) => before.includes(version)).length,
      2,
      "the service accounts are as they were",
    );
  });
});

describe("the tokens that the last helper left", () => {
  it("are not used where somebody changed them meanwhile: they may be anybody's", async () => {
    const parts = await makeParts([`left-${id}`]);
    try {
      const first = parts.run();
      await first.line(/the secret will expire/);
      await first.stop();
      const own = String(parts.env["ECR_HELPER_NAMESPACE"]);
      const before = await parts.secret(own, "ecr-creds-pull");
      const wrong = base64("AWS:wrong");
      const text = decode(before.data[".dockerconfigjson"]).replaceAll(/"auth":"[^"]*"/g, `"auth":"${wrong}"`);
      const body = { data: { ".dockerconfigjson": base64(text) } };
      await parts.admin({ method: "PATCH", path: secretPath(own, "ecr-creds-pull"), contentType: merge, body });
      const next = parts.run();
      await next.line(/was changed by somebody: its tokens are not used/);
      await next.line(/secret\/ecr-creds-pull configured in namespace it-/);
      await next.line(/the secret will expire/);
      const login = decode((await parts.secret(`left-${id}`)).data["password"]);
      const pulls = new Set(Object.values(pullPasswords(await parts.secret(own, "ecr-creds-pull"))));
      assert.deepEqual(pulls, new Set([login]), "every namespace has the new one");
    } finally {
      await parts.remove();
    }
  });
});

describe("a secret of somebody else's in the helper's own namespace", () => {
  it("that has the name of its pull secret is left alone, which an Event tells, and the build namespaces are served", async () => {
    const parts = await makeParts([`own-${id}`]);
    try {
      const own = String(parts.env["ECR_HELPER_NAMESPACE"]);
      const body = { metadata: { name: "ecr-creds-pull" }, stringData: { theirs: "theirs" } };
      await parts.admin({ method: "POST", path: `/api/v1/namespaces/${own}/secrets`, body });
      const helper = parts.run();
      await helper.line(new RegExp(`secret/ecr-creds configured in namespace own-${id}`));
      const events = `/api/v1/namespaces/${own}/events?fieldSelector=reason%3DForeignObject`;
      await waitForObject(parts.options, events, () => true, timeout);
      assert.equal(decode((await parts.secret(own, "ecr-creds-pull")).data["theirs"]), "theirs");
      await helper.stop();
    } finally {
      await parts.remove();
    }
  });
});

describe("the end of a helper", () => {
  const names = [`keep-${id}`, `drop-${id}`];
  /** Without a service account of somebody else's. */
  const bare = `bare-${id}`;
  let parts: Parts;
  const theirs = [{ name: "theirs" }];
  const ours = [...theirs, { name: "ecr-creds" }];

  before(async () => {
    parts = await makeParts([...names, bare]);
    for (const namespace of names) {
      const body = { metadata: { name: "builder-sa" }, secrets: theirs };
      await parts.admin({ method: "POST", path: `/api/v1/namespaces/${namespace}/serviceaccounts`, body });
    }
  });
  after(async () => parts.remove());

  const deployment = (): string =>
    `/apis/apps/v1/namespaces/${String(parts.env["ECR_HELPER_NAMESPACE"])}/deployments/ecr-helper`;
  const runAndStop = async (meanwhile: () => Promise<unknown>): Promise<string[]> => {
    const helper = parts.run();
    await helper.line(/the secret will expire/);
    await meanwhile();
    const { code, took } = await helper.stop();
    assert.equal(code, 0);
    assert.ok(took < 1_000, `${String(took)} ms`);
    return helper.lines.map(({ message }) => message);
  };
  const entries = async (namespace: string): Promise<unknown> => (await parts.account(namespace)).secrets;

  it("changes nothing when it only starts anew", async () => {
    await runAndStop(async () => Promise.resolve());
    for (const namespace of names) assert.deepEqual(await entries(namespace), ours);
    await parts.secret(names[1] ?? "");
  });

  it("changes nothing when its Deployment is deleted by hand, or replaced, while the stack stands", async () => {
    const made = await parts.admin<{ metadata: { resourceVersion?: string } }>({ method: "GET", path: deployment() });
    const account = await parts.account(bare);
    const lines = await runAndStop(async () => parts.admin({ method: "DELETE", path: deployment() }));
    assert.ok(lines.includes("the stack goes on without this Deployment: all stays as it is"));
    for (const namespace of names) assert.deepEqual(await entries(namespace), ours);
    assert.deepEqual(await parts.account(bare), account, "it has the same uid: tokens of builds that run go on");
    delete made.metadata.resourceVersion;
    const path = deployment().replace(/\/ecr-helper$/, "");
    await parts.admin({ method: "POST", path, body: { ...made, metadata: { name: "ecr-helper" } } });
  });

  it("changes nothing when nobody tells whether the stack stands", async () => {
    const binding = `/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/${parts.owner}`;
    const { roleRef, subjects, metadata } = await parts.admin<{ roleRef: object; subjects: object; metadata: object }>({
      method: "GET",
      path: binding,
    });
    const made = await parts.admin<object>({ method: "GET", path: deployment() });
    const lines = await runAndStop(async () => {
      await parts.admin({ method: "DELETE", path: binding });
      await parts.admin({ method: "DELETE", path: deployment() });
    });
    assert.match(lines.join("\n"), /left everything as it is: what comes next is not known: .*forbidden/);
    for (const namespace of names) assert.deepEqual(await entries(namespace), ours);
    const { name } = metadata as { name: string };
    const body = { metadata: { name }, roleRef, subjects };
    await parts.admin({ method: "POST", path: binding.replace(/\/[^/]+$/, ""), body });
    const path = deployment().replace(/\/ecr-helper$/, "");
    await parts.admin({ method: "POST", path, body: { ...made, metadata: { name: "ecr-helper" } } });
  });

  /** Has the Deployment make helpers for these build namespaces. */
  const changeTo = async (namespaces: readonly string[]): Promise<void> => {
    const { spec } = await parts.admin<{
      spec: { template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } };
    }>({ method: "GET", path: deployment() });
    for (const { env } of spec.template.spec.containers) {
      for (const variable of env) {
        if (variable.name === "ECR_HELPER_BUILD_NAMESPACES") variable.value = namespaces.join(",");
      }
    }
    await parts.admin({ method: "PATCH", path: deployment(), contentType: merge, body: { spec } });
  };
  const isGone = (error: KubeError): boolean => error.status === 404;

  it("takes back what the next one will not keep as soon as that is known, and nothing else", async () => {
    const [keep = "", drop = ""] = names;
    const helper = parts.run();
    await helper.line(/the secret will expire/);
    const accountGone = waitUntilGone(
      parts.options,
      `/api/v1/namespaces/${bare}/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa`,
      timeout,
    );
    await changeTo([keep]);
    await accountGone;
    await helper.line(new RegExp(`serviceaccount/builder-sa \\w+ in namespace ${drop}`));
    assert.deepEqual([await entries(keep), await entries(drop)], [ours, theirs]);
    for (const name of ["ecr-creds", "ecr-creds-pull"]) {
      for (const namespace of [drop, bare]) await assert.rejects(parts.secret(namespace, name), isGone);
      await parts.secret(keep, name);
    }
    await parts.secret(String(parts.env["ECR_HELPER_NAMESPACE"]), "ecr-creds-pull");
    // The rollout is undone before it ended.
    const before = helper.lines.length;
    await changeTo([...names, bare]);
    await helper.line(new RegExp(`serviceaccount/builder-sa configured in namespace ${bare}`), before);
    await helper.line(new RegExp(`serviceaccount/builder-sa \\w+ in namespace ${drop}`), before);
    assert.deepEqual([await entries(keep), await entries(drop)], [ours, ours]);
    await helper.stop();
  });

  it("takes it back at its end at the latest", async () => {
    const [keep = "", drop = ""] = names;
    const lines = await runAndStop(async () => changeTo([keep]));
    assert.match(lines.join("\n"), new RegExp(`serviceaccount/builder-sa.* in namespace ${drop}`));
    assert.deepEqual([await entries(keep), await entries(drop)], [ours, theirs]);
    for (const namespace of [drop, bare]) await assert.rejects(parts.secret(namespace, "ecr-creds"), isGone);
    await assert.rejects(parts.account(bare), isGone, "the helper made that one");
    await changeTo([...names, bare]);
  });

  it("leaves no entry in a service account that was there before, when the stack is destroyed", async () => {
    const lines = await runAndStop(async () => parts.endStack());
    assert.ok(lines.includes("the stack is being destroyed: taking back what is not collected with it"));
    for (const namespace of names) {
      const { metadata, secrets, imagePullSecrets } = await parts.account(namespace);
      assert.deepEqual([secrets, imagePullSecrets ?? []], [theirs, []]);
      assert.ok(!JSON.stringify(metadata).includes('"ecr-helper/'));
    }
  });
});

describe("two helpers in one cluster", () => {
  it("do not disturb each other, not even where both want the same objects", async () => {
    const [one, other] = [await makeParts([`${id}-two-*`]), await makeParts([`*-${id}-two`, `${id}-two-shared`])];
    try {
      await one.namespace(`${id}-two-a`);
      await one.namespace(`b-${id}-two`);
      const first = one.run();
      await first.line(/the secret will expire/);
      const made = await one.secret(`${id}-two-shared`);
      const account = await one.account(`${id}-two-shared`);
      const second = other.run();
      await second.line(
        new RegExp(`secret/ecr-creds failed in namespace ${id}-two-shared: .*was not made by this helper`),
      );
      await second.line(new RegExp(`secret/ecr-creds configured in namespace b-${id}-two`));
      await second.line(/the secret will expire/);
      assert.deepEqual(await one.secret(`${id}-two-shared`), made);
      assert.deepEqual(await one.account(`${id}-two-shared`), account);
      const selector = encodeURIComponent(`app.kubernetes.io/instance=${other.owner}`);
      const { items } = await one.admin<{ items: Secret[] }>({
        method: "GET",
        path: `/api/v1/secrets?labelSelector=${selector}`,
      });
      assert.ok(
        items.every(({ metadata }) =>
          [`b-${id}-two`, String(other.env["ECR_HELPER_NAMESPACE"])].includes(metadata.namespace),
        ),
      );
      assert.deepEqual(
        first.lines.filter(({ level }) => level !== "info"),
        [],
      );
    } finally {
      await other.remove();
      await one.remove();
    }
  });
});
