// The node of the helper that works is cut off, stops, and vanishes, for a stack with two helpers and one with a single helper.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it, type TestContext } from "node:test";
import { createKubeClient, createKubeStream } from "../../helper/kube/client.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { firstNode } from "../local/node-settings.ts";
import { kubeconfig } from "../local/settings.ts";
import { waitUntilGone } from "../local/watch.ts";
import { makeCheckout } from "../support/commands.ts";
import { continuePod, stopPod } from "../support/pod-processes.ts";
import { SecondNode } from "../support/second-node.ts";
import { TestNamespaces } from "../support/test-namespaces.ts";
import { isReady, podsWhen, type Pod } from "./pods.ts";
import { serve } from "./pulls.ts";
import { helperWrites, LeaseHistory, writesWithoutLease } from "./terms.ts";

const id = randomBytes(3).toString("hex");
const [pair, single] = [`pair-${id}`, `single-${id}`];
const { start, remove } = await makeCheckout(pair);

const secondsSince = (since: number): number => (performance.now() - since) / 1000;

describe("the loss of the node of the helper that works", () => {
  const options = readKubeconfig(kubeconfig);
  const kube = createKubeClient(options);
  const testNamespaces = new TestNamespaces(kube);
  const podsOf = (stack: string): string => `/api/v1/namespaces/${stack}/pods`;
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${pair}/leases`;
  let node: SecondNode;
  let lease: LeaseHistory;

  const run = async (what: "up" | "down", stack: string, settings: readonly string[] = []): Promise<void> => {
    const { code, stderr } = await start(what, "--stack", stack, ...settings.flatMap((one) => ["-c", one])).ended;
    assert.equal(code, 0, stderr);
  };
  const create = async (stack: string, ...settings: readonly string[]): Promise<void> => {
    const names = ["namespace", "repositoryName", "policyName", "userName", "roleName"].map((key) => `${key}=${stack}`);
    await run("up", stack, [...names, `buildNamespaces=["${stack}-*"]`, ...settings]);
  };
  const readyPods = async (stack: string, wanted: (pods: readonly Pod[]) => boolean, timeout: number): Promise<Pod[]> =>
    podsWhen(options, stack, (pods) => pods.every(isReady) && wanted(pods), timeout);
  const isOnBoth = (pods: readonly Pod[]): boolean => new Set(pods.map(({ spec }) => spec.nodeName)).size === 2;
  const deletePod = async (stack: string, { metadata }: Pod): Promise<unknown> =>
    kube({ method: "DELETE", path: `${podsOf(stack)}/${metadata.name}` });
  /** Sees to it that the helper on the second node works and the other one stands by on the first node. */
  const workOnSecondNode = async (): Promise<Pod> => {
    // A helper that was cut off until now may learn late that the Lease is free: then the other one's successor takes it first.
    for (;;) {
      const pods = await readyPods(pair, isOnBoth, 60_000);
      const holder = await lease.waitForHolder((pod) => pods.some(({ metadata }) => metadata.name === pod), 30_000);
      const worker = pods.find(({ metadata }) => metadata.name === holder) ?? assert.fail();
      if (worker.spec.nodeName === node.name) return worker;
      await deletePod(pair, worker);
      await lease.waitForHolder((pod) => pod !== "" && pod !== holder, 30_000);
    }
  };
  const served = async (stack: string, timeout: number): Promise<number> =>
    serve(options, testNamespaces, `${stack}-${randomBytes(3).toString("hex")}`, timeout);
  const loses = async (pod: Pod, why: RegExp): Promise<void> => {
    const over = AbortSignal.timeout(30_000);
    const path = `${podsOf(pair)}/${pod.metadata.name}/log?follow=true`;
    for await (const line of createKubeStream(options)({ method: "GET", path, signal: over }))
      if (line.includes("lost the lease, and writes nothing more") && why.test(line)) return;
    assert.fail(`${pod.metadata.name} did not lose the lease`);
  };
  const schedulable = async (isSchedulable: boolean): Promise<unknown> =>
    kube({
      method: "PATCH",
      path: `/api/v1/nodes/${firstNode.name}`,
      contentType: "application/merge-patch+json",
      body: { spec: { unschedulable: isSchedulable ? null : true } },
    });

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    // Not the stack's: what the helpers leave in it would stay.
    await testNamespaces.create(pair);
    node = await SecondNode.start();
    lease = new LeaseHistory(options, pair);
    await create(pair, "replicas=2", "createNamespace=false");
    await create(single);
  });

  after(async () => {
    await schedulable(true);
    await node.end();
    for (const stack of [pair, single]) await start("down", "--stack", stack).ended;
    await testNamespaces.remove(single);
    await remove();
  });

  it("that is cut off lets the other one work, and the last one write nothing when it is back", async (t: TestContext) => {
    const worker = await workOnSecondNode();
    await node.cutOff();
    const seconds = await served(pair, 30_000);
    t.diagnostic(`cut off: a new namespace was served after ${seconds.toFixed(1)} s`);
    await node.reconnect();
    await loses(worker, /could not be renewed in time/);
    assert.ok(seconds < 20, `${String(seconds)} s`);
  });

  it("that stops for a while does the same", async (t: TestContext) => {
    const worker = await workOnSecondNode();
    await stopPod(worker);
    const seconds = await served(pair, 30_000);
    continuePod(worker);
    t.diagnostic(`stopped: a new namespace was served after ${seconds.toFixed(1)} s`);
    await loses(worker, /./);
    assert.ok(seconds < 20, `${String(seconds)} s`);
  });

  it("that vanishes does so, too, and is made up for: a single helper comes back on another node", async (t) => {
    await workOnSecondNode();
    await schedulable(false);
    for (const pod of await readyPods(single, (pods) => pods.length === 1, 30_000)) await deletePod(single, pod);
    await readyPods(single, ([pod]) => pod?.spec.nodeName === node.name, 60_000);
    await schedulable(true);
    await served(single, 20_000);
    const since = performance.now();
    await node.vanish();
    const seconds = await served(pair, 30_000);
    t.diagnostic(`vanished: a new namespace was served after ${seconds.toFixed(1)} s`);
    const alone = served(single, 150_000).then(() => secondsSince(since));
    await readyPods(pair, (pods) => pods.length === 2 && !isOnBoth(pods), 150_000);
    t.diagnostic(`vanished: two helpers were ready again after ${secondsSince(since).toFixed(1)} s`);
    t.diagnostic(`vanished: the single helper served a new namespace after ${(await alone).toFixed(1)} s`);
    assert.ok(seconds < 20, `${String(seconds)} s`);
  });

  it("never had two helpers write", async (t: TestContext) => {
    const writes = await helperWrites(options, pair);
    t.diagnostic(`${String(writes.length)} writes in ${String(lease.acquisitions.length)} changes of the Lease`);
    assert.deepEqual(writesWithoutLease(writes, lease.acquisitions), []);
  });

  it("leaves nothing of the stacks, not even in a namespace that is not theirs", async () => {
    await node.end();
    await lease.stop();
    for (const stack of [pair, single]) await run("down", stack);
    // The garbage collector takes the Lease.
    await waitUntilGone(options, leases, 30_000);
    const budgets = `/apis/policy/v1/namespaces/${pair}/poddisruptionbudgets`;
    assert.deepEqual((await kube<{ items: object[] }>({ method: "GET", path: budgets })).items, []);
  });
});
