// More than one helper: a second pod, a PodDisruptionBudget, and none of either once one is enough again.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { createKubeClient } from "../../helper/kube/client.ts";
import { KubeError, undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { kubeconfig } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { changesOf, makeCheckout, noChanges } from "../support/commands.ts";
import type { Pod } from "./pods.ts";

const id = randomBytes(3).toString("hex");
const stack = `re-${id}`;
const build = `build-${id}`;
const { command, remove } = await makeCheckout(stack);

interface Deployment {
  metadata: { uid: string; generation: number };
  status: { observedGeneration?: number; replicas?: number; readyReplicas?: number };
}

interface Budget {
  metadata: { generation: number };
  status?: { observedGeneration?: number; disruptionsAllowed: number };
}

describe("a stack with two replicas", () => {
  const options = readKubeconfig(kubeconfig);
  const kube = createKubeClient(options);
  const pods = `/api/v1/namespaces/${stack}/pods`;
  const deployments = `/apis/apps/v1/namespaces/${stack}/deployments`;
  const budgets = `/apis/policy/v1/namespaces/${stack}/poddisruptionbudgets`;
  const own = "?fieldSelector=metadata.name%3Decr-helper";
  const podNames = async (): Promise<string[]> => {
    const { items } = await kube<{ items: Pod[] }>({ method: "GET", path: pods });
    return items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(({ metadata }) => metadata.name);
  };
  const deployment = async (): Promise<Deployment> => kube({ method: "GET", path: `${deployments}/ecr-helper` });
  const budget = async (): Promise<Budget | undefined> =>
    undefinedIfNotFound(kube<Budget>({ method: "GET", path: `${budgets}/ecr-helper` }));
  const evict = async (name: string): Promise<unknown> =>
    kube({
      method: "POST",
      path: `${pods}/${name}/eviction`,
      body: { apiVersion: "policy/v1", kind: "Eviction", metadata: { name } },
    });
  const change = async (replicas: number): Promise<string[]> => {
    const { code, stderr } = await command("up", "-c", `replicas=${String(replicas)}`);
    assert.equal(code, 0, stderr);
    return changesOf({ stderr }).sort();
  };

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: build } } });
  });

  after(async () => {
    await command("down");
    await kube({ method: "DELETE", path: `/api/v1/namespaces/${build}` });
    await remove();
  });

  it("comes up with both of them ready, and a second up changes nothing", async () => {
    const names = ["namespace", "repositoryName", "policyName", "userName"].map((key) => `${key}=${stack}`);
    const settings = [...names, `buildNamespaces=["${build}"]`, "replicas=2"].flatMap((setting) => ["-c", setting]);
    const made = await command("up", ...settings);
    assert.equal(made.code, 0, made.stderr);
    assert.ok(changesOf(made).includes("created PodDisruptionBudget ecr-helper"));
    assert.equal((await deployment()).status.readyReplicas, 2);
    const again = await command("up");
    assert.match(again.stderr, noChanges);
  });

  it("lets one helper be evicted, and the other one only once that is replaced", async () => {
    const isUpToDate = ({ metadata, status }: Budget): boolean =>
      status?.observedGeneration === metadata.generation && status.disruptionsAllowed === 1;
    await waitForObject<Budget>(options, `${budgets}${own}`, isUpToDate, 30_000);
    const [first = "", second = ""] = await podNames();
    await evict(first);
    await assert.rejects(evict(second), (error) => error instanceof KubeError && error.status === 429);
    const isWhole = ({ status }: Deployment): boolean => status.readyReplicas === 2 && status.replicas === 2;
    await waitForObject<Deployment>(options, `${deployments}${own}`, isWhole, 60_000);
    await waitForObject<Budget>(options, `${budgets}${own}`, isUpToDate, 30_000);
    await evict(second);
  });

  it("has the budget removed with the second helper, restarts none, and gets both back", async () => {
    const { uid } = (await deployment()).metadata;
    assert.deepEqual(await change(1), [
      "deleted PodDisruptionBudget ecr-helper",
      "updated DeploymentPatch ecr-helper-replicas",
    ]);
    assert.equal(await budget(), undefined);
    const [kept = ""] = await podNames();
    assert.deepEqual(await change(2), [
      "created PodDisruptionBudget ecr-helper",
      "updated DeploymentPatch ecr-helper-replicas",
    ]);
    assert.equal((await deployment()).metadata.uid, uid);
    const both = await podNames();
    assert.equal(both.length, 2);
    assert.ok(both.includes(kept), `${kept} in ${both.join(", ")}`);
  });

  it("leaves neither a budget nor anything else", async () => {
    const { code, stderr } = await command("down");
    assert.equal(code, 0, stderr);
    assert.equal(await budget(), undefined);
  });
});
