// With `podAdmission`, a pod of a build namespace has the pull secret however early it is created, and whatever its account is.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const build = (name: string): string => `pods-${id}-${name}`;
const outside = `other-${id}`;
const labelled = `labelled-${id}`;

interface Pod {
  spec: { imagePullSecrets?: { name: string }[] };
}

describe("the policy for pods", () => {
  let cluster: DisposableCluster;
  let parts: Parts;
  before(async () => {
    cluster = await startDisposableCluster();
    const config = {
      podAdmission: "v1beta1",
      excludeNamespaces: JSON.stringify([build("excluded")]),
      namespaceSelector: "team=red",
    };
    parts = await makeParts([build("*")], { ...cluster, config });
    for (const one of [build("a"), build("excluded"), outside]) await createNamespace(one);
    await createNamespace(labelled, { team: "red" });
    // An API server needs about a second for a new policy, and a quiet moment has no event to wait for.
    while ((await secretsOf(build("a"), {}, {}, true)).length === 0) await turn();
  });
  after(async () => {
    await parts.removeFromAws();
    await cluster.remove();
  });

  const create = async <T>(path: string, body: object): Promise<T> => parts.admin<T>({ method: "POST", path, body });

  /** Creates a namespace and the account that Kubernetes makes in each. */
  async function createNamespace(name: string, labels = {}): Promise<void> {
    await create("/api/v1/namespaces", { metadata: { name, labels } });
    await create(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: "default" } });
  }

  /** The pull secrets that a new pod is created with. */
  async function secretsOf(
    namespace: string,
    spec: object = {},
    metadata: object = {},
    dryRun = false,
  ): Promise<string[]> {
    const containers = [{ name: "app", image: "app" }];
    const pod = { metadata: { generateName: "pod-", ...metadata }, spec: { containers, ...spec } };
    const path = `/api/v1/namespaces/${namespace}/pods${dryRun ? "?dryRun=All" : ""}`;
    const { spec: created } = await create<Pod>(path, pod);
    return (created.imagePullSecrets ?? []).map(({ name }) => name);
  }

  it("adds the pull secret in build namespaces only", async () => {
    assert.deepEqual(await secretsOf(build("a")), ["ecr-creds-pull"]);
    assert.deepEqual(await secretsOf(labelled), ["ecr-creds-pull"]);
    for (const one of [build("excluded"), outside]) assert.deepEqual(await secretsOf(one), []);
  });

  it("keeps a pod's own pull secrets, and those that its account gave it", async () => {
    const [theirs, both] = [
      [{ name: "b" }, { name: "a" }],
      [{ name: "ecr-creds-pull" }, { name: "a" }],
    ];
    assert.deepEqual(await secretsOf(build("a"), { imagePullSecrets: theirs }), ["b", "a", "ecr-creds-pull"]);
    assert.deepEqual(await secretsOf(build("a"), { imagePullSecrets: both }), ["ecr-creds-pull", "a"]);
    const metadata = { name: "puller" };
    await create(`/api/v1/namespaces/${build("a")}/serviceaccounts`, { metadata, imagePullSecrets: theirs });
    assert.deepEqual(await secretsOf(build("a"), { serviceAccountName: "puller" }), ["b", "a", "ecr-creds-pull"]);
  });

  it("leaves the mirror of a node's own pod alone, which may have no secret", async () => {
    const annotations = { "kubernetes.io/config.mirror": "x" };
    assert.deepEqual(await secretsOf(build("a"), { nodeName: "node" }, { annotations }), []);
  });

  it("leaves no pod without it of 1,000 namespaces and pods that are created at once", async (t) => {
    const names = Array.from({ length: 1_000 }, (_, index) => build(`n${String(index)}`));
    const helper = parts.run();
    let lacking = 0;
    await Promise.all(
      names.map(async (one) => {
        await createNamespace(one);
        if (!(await secretsOf(one)).includes("ecr-creds-pull")) lacking++;
      }),
    );
    await helper.stop();
    assert.equal(lacking, 0);
    t.diagnostic(`${String(names.length)} pods, without the pull secret: ${String(lacking)}`);
  });
});
