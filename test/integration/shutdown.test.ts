// What a helper removes when it ends, depending on why it ends.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { KubeError } from "../../helper/kube/errors.ts";
import { waitUntilGone } from "../local/watch.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const timeout = 60_000;
const merge = "application/merge-patch+json";

describe("the end of a helper", () => {
  const names = [`keep-${id}`, `drop-${id}`];
  /** A namespace without a foreign service account. */
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

  it("changes nothing when it is only restarted", async () => {
    await runAndStop(async () => Promise.resolve());
    for (const namespace of names) assert.deepEqual(await entries(namespace), ours);
    await parts.secret(names[1] ?? "");
  });

  it("changes nothing when its Deployment is deleted by hand or replaced while the stack exists", async () => {
    const made = await parts.admin<{ metadata: { resourceVersion?: string } }>({ method: "GET", path: deployment() });
    const account = await parts.account(bare);
    const lines = await runAndStop(async () => parts.admin({ method: "DELETE", path: deployment() }));
    assert.ok(lines.includes("the stack still exists without this Deployment: nothing is removed"));
    for (const namespace of names) assert.deepEqual(await entries(namespace), ours);
    assert.deepEqual(await parts.account(bare), account, "it has the same uid: tokens of builds that run go on");
    delete made.metadata.resourceVersion;
    const path = deployment().replace(/\/ecr-helper$/, "");
    await parts.admin({ method: "POST", path, body: { ...made, metadata: { name: "ecr-helper" } } });
  });

  it("changes nothing when it cannot find out whether the stack exists", async () => {
    // Either of the owners' roles lets the helper read the stack's marker.
    const all = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    const bindings = [parts.owner, `${parts.owner}-owner`].map((name) => `${all}/${name}`);
    const granted = await Promise.all(
      bindings.map(async (path) =>
        parts.admin<{ roleRef: object; subjects: object; metadata: { name: string } }>({ method: "GET", path }),
      ),
    );
    const made = await parts.admin<object>({ method: "GET", path: deployment() });
    const lines = await runAndStop(async () => {
      for (const path of bindings) await parts.admin({ method: "DELETE", path });
      await parts.admin({ method: "DELETE", path: deployment() });
    });
    assert.match(lines.join("\n"), /nothing was removed: the next helper is not known: .*forbidden/);
    for (const namespace of names) assert.deepEqual(await entries(namespace), ours);
    for (const { roleRef, subjects, metadata } of granted)
      await parts.admin({ method: "POST", path: all, body: { metadata: { name: metadata.name }, roleRef, subjects } });
    const path = deployment().replace(/\/ecr-helper$/, "");
    await parts.admin({ method: "POST", path, body: { ...made, metadata: { name: "ecr-helper" } } });
  });

  /** Has the Deployment make helpers with another value of a variable. */
  const change = async (name: string, value: string): Promise<void> => {
    const { spec } = await parts.admin<{
      spec: { template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } };
    }>({ method: "GET", path: deployment() });
    for (const { env } of spec.template.spec.containers) {
      for (const variable of env) {
        if (variable.name === name) variable.value = value;
      }
    }
    await parts.admin({ method: "PATCH", path: deployment(), contentType: merge, body: { spec } });
  };
  const changeTo = async (namespaces: readonly string[]): Promise<void> =>
    change("ECR_HELPER_BUILD_NAMESPACES", namespaces.join(","));
  const isGone = (error: KubeError): boolean => error.status === 404;

  it("removes what the next helper will not keep, and nothing else, as soon as the Deployment changes", async () => {
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

  it("removes it at its end at the latest", async () => {
    const [keep = "", drop = ""] = names;
    const lines = await runAndStop(async () => changeTo([keep]));
    assert.match(lines.join("\n"), new RegExp(`serviceaccount/builder-sa.* in namespace ${drop}`));
    assert.deepEqual([await entries(keep), await entries(drop)], [ours, theirs]);
    for (const namespace of [drop, bare]) await assert.rejects(parts.secret(namespace, "ecr-creds"), isGone);
    await assert.rejects(parts.account(bare), isGone, "the helper made that one");
    await changeTo([...names, bare]);
  });

  it("leaves what the next helper keeps under another name while no such helper is ready", async () => {
    await runAndStop(async () => change("ECR_HELPER_PULL_SECRET", "pulls"));
    for (const namespace of [...names, bare, String(parts.env["ECR_HELPER_NAMESPACE"])])
      await parts.secret(namespace, "ecr-creds-pull");
    await change("ECR_HELPER_PULL_SECRET", "ecr-creds-pull");
  });

  it("removes its entries from foreign service accounts when the stack is destroyed", async () => {
    const lines = await runAndStop(async () => parts.endStack());
    assert.ok(lines.includes("the stack is being destroyed: removing what Kubernetes does not collect with it"));
    for (const namespace of names) {
      const { metadata, secrets, imagePullSecrets } = await parts.account(namespace);
      assert.deepEqual([secrets, imagePullSecrets ?? []], [theirs, []]);
      assert.ok(!JSON.stringify(metadata).includes('"ecr-helper/'));
    }
  });
});
