// The second node is as real as the first one, it can die in the ways that machines do, and nothing is left of it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { after, before, describe, it, type TestContext } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { isRunning, pushApp } from "../e2e/pods.ts";
import { adminKube } from "../local/control-plane.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { firstNode, secondNamespace, secondNode } from "../local/node-settings.ts";
import { processState, run } from "../local/process.ts";
import { rootCredentials } from "../local/root-key.ts";
import { account, aws, bridge, kubeconfig, ports, secondNetwork } from "../local/settings.ts";
import { waitFor, waitForObject } from "../local/watch.ts";
import { listen, namespaceOf, reachableTargets, type Target } from "../support/network-namespace.ts";
import { continuePod, processesOfPod, stopPod } from "../support/pod-processes.ts";
import { passwordFor } from "../support/registry-client.ts";
import { SecondNode } from "../support/second-node.ts";

const id = randomBytes(3).toString("hex");
const namespace = `second-node-${id}`;
const options = readKubeconfig(kubeconfig);
const admin = adminKube();
const namespacePath = `/api/v1/namespaces/${namespace}`;
const local = `${ports.registry.address}:${String(ports.registry.port)}`;
const repositoryName = `${namespace}/app`;

interface Pod {
  metadata: { name: string };
  spec: { nodeName?: string; containers: { image: string }[] };
  status: {
    phase: string;
    podIP: string;
    containerStatuses?: { ready: boolean; state: object; containerID: string }[];
  };
}

interface Node {
  spec: { taints?: { key: string; effect: string }[] };
  status: { conditions: { type: string; status: string }[] };
}

const readiness = ({ status }: Node): string | undefined =>
  status.conditions.find(({ type }) => type === "Ready")?.status;
const nodePath = `/api/v1/nodes?fieldSelector=metadata.name%3D${secondNode.name}`;
const podSpec = (image = "ecr-helper-pause:1"): object => ({
  terminationGracePeriodSeconds: 0,
  containers: [{ name: "app", image, imagePullPolicy: image.startsWith(local) ? "Always" : "Never" }],
});

async function createPod(name: string, nodeName: string, spec: object = podSpec()): Promise<void> {
  await admin({
    method: "POST",
    path: `${namespacePath}/pods`,
    body: { metadata: { name }, spec: { nodeName, ...spec } },
  });
}
const runningPod = async (name: string): Promise<Pod> =>
  waitForObject<Pod>(options, `${namespacePath}/pods?fieldSelector=metadata.name%3D${name}`, isRunning, 30_000);
async function startPod(name: string, nodeName: string, spec?: object): Promise<Pod> {
  await createPod(name, nodeName, spec);
  return runningPod(name);
}

const enter = (pod: Pod): string[] => namespaceOf(processesOfPod(pod)[0] ?? 0);
const endpointsForPods: Target[] = [ports.apiServer, { address: "10.215.0.1", port: 443 }, ports.gateway];

/** Everything on this machine that a node creates, by name. */
async function traces(): Promise<string[]> {
  const folders = ["/run/containerd/s", "/var/lib/cni/results", "/var/log/containers", "/run/netns", "/sys/class/net"];
  const groups = ["/sys/fs/cgroup/pids/k8s.io", "/sys/fs/cgroup/k8s.io"];
  const entries = [...folders, ...groups]
    .filter(existsSync)
    .flatMap((folder) => readdirSync(folder).map((name) => `${folder}/${name}`));
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  const commands = (await run("ps", ["-eo", "args"])).split("\n").filter((line) => line.includes(secondNode.folder));
  const nat = (await run("iptables-save", ["-t", "nat"]))
    .split("\n")
    .filter((line) => line.includes(secondNetwork.interface));
  const routes = (await run("ip", ["route"])).split("\n");
  return [...entries, ...mounts, ...commands, ...nat, ...routes];
}

/** A connection from a pod to this process. The pod's end, a process in its network, sends back what it receives. */
async function connectFrom(pod: Pod): Promise<Socket> {
  const server = createServer().listen(0, bridge.address);
  await once(server, "listening");
  const script = `const s = require("node:net").connect(${String((server.address() as AddressInfo).port)}, "${bridge.address}"); s.pipe(s);`;
  spawn("env", [...enter(pod), process.execPath, "-e", script], { stdio: "inherit" });
  const [socket] = (await once(server, "connection")) as [Socket];
  server.close();
  return socket;
}

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;

describe("the second node", () => {
  let node: SecondNode;
  let [first, second] = [] as unknown as [Pod, Pod];

  before(async () => {
    await admin({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: namespace } } });
    const account = `${namespacePath}/serviceaccounts?fieldSelector=metadata.name%3Ddefault`;
    await waitFor(options, account, ({ type }) => type === "ADDED", 20_000);
    first = await startPod("first", firstNode.name);
  });

  after(async () => {
    await admin({ method: "DELETE", path: namespacePath });
    await node.end();
  });

  it("is ready, and its pods reach what those of the first node reach, and each other", async (t: TestContext) => {
    const since = performance.now();
    node = await SecondNode.start();
    t.diagnostic(`ready after ${seconds(since)}`);
    second = await startPod("second", node.name);
    t.diagnostic(`its first pod runs after ${seconds(since)}`);
    assert.equal(second.spec.nodeName, node.name);
    const agents = ["169.254.170.23", "169.254.169.254"].map((address) => ({ address, port: 80 }));
    for (const [from, to] of [
      [first, second],
      [second, first],
    ] as const) {
      const server = await listen(8000, enter(to));
      const targets = [...endpointsForPods, ...agents, { address: to.status.podIP, port: 8000 }];
      assert.deepEqual(await reachableTargets(targets, enter(from)), targets);
      assert.deepEqual(
        await reachableTargets([{ ...ports.registry, address: secondNetwork.gateway }, ports.registry], enter(from)),
        [],
      );
      server.kill();
    }
  });

  it("pulls images from the registry, by the pod's credential", async () => {
    const ecr = new ECRClient({
      endpoint: aws.AWS_ENDPOINT_URL,
      region: aws.AWS_REGION,
      credentials: rootCredentials(account),
    });
    await ecr.send(new CreateRepositoryCommand({ repositoryName }));
    try {
      const password = await passwordFor(rootCredentials(account), { api: ports.gateway });
      const image = `${local}/${repositoryName}:1`;
      await pushApp(image, password);
      const config = JSON.stringify({ auths: { [local]: { username: "AWS", password } } });
      const type = "kubernetes.io/dockerconfigjson";
      const secret = { metadata: { name: "pull" }, type, stringData: { ".dockerconfigjson": config } };
      await admin({ method: "POST", path: `${namespacePath}/secrets`, body: secret });
      await startPod("pulled", node.name, { ...podSpec(image), imagePullSecrets: [{ name: "pull" }] });
    } finally {
      await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
    }
  });

  it("has processes that a test can stop and continue, as the first node has", async () => {
    for (const pod of [first, second]) {
      await stopPod(pod);
      assert.deepEqual(processesOfPod(pod).map(processState), ["T"]);
      continuePod(pod);
      assert.notDeepEqual(processesOfPod(pod).map(processState), ["T"]);
    }
  });

  it("can be cut off, with all its open connections, and goes on when it is reconnected", async (t: TestContext) => {
    const socket = await connectFrom(second);
    t.after(() => socket.destroy());
    const echo = async (): Promise<string> => String((await once(socket, "data"))[0]);
    socket.write("before");
    assert.equal(await echo(), "before");
    await node.cutOff();
    const late = echo();
    socket.write("while it was cut off");
    assert.deepEqual(await reachableTargets(endpointsForPods, enter(second)), []);
    assert.deepEqual(await reachableTargets(endpointsForPods, enter(first)), endpointsForPods);
    assert.equal(await Promise.race([late, Promise.resolve("nothing")]), "nothing");
    await createPod("meanwhile", node.name);
    const since = performance.now();
    await node.reconnect();
    assert.equal(await late, "while it was cut off");
    t.diagnostic(`an open connection goes on ${seconds(since)} after reconnecting`);
    await runningPod("meanwhile");
    t.diagnostic(`a pod that was assigned meanwhile runs after ${seconds(since)}`);
    assert.deepEqual(await reachableTargets(endpointsForPods, enter(second)), endpointsForPods);
  });

  it("can vanish without a goodbye: its pods are made anew on the first node", async (t: TestContext) => {
    const labels = { app: "moving" };
    const preference = { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [node.name] }] };
    const spec = {
      ...podSpec(),
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference }] } },
      tolerations: ["unreachable", "not-ready"].map((condition) => ({
        key: `node.kubernetes.io/${condition}`,
        operator: "Exists",
        effect: "NoExecute",
        tolerationSeconds: 5,
      })),
    };
    const deployment = { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } };
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
    await admin({ method: "POST", path, body: { metadata: { name: "moving" }, spec: deployment } });
    const pods = `${namespacePath}/pods?labelSelector=app%3Dmoving`;
    assert.equal((await waitForObject<Pod>(options, pods, isRunning, 30_000)).spec.nodeName, node.name);
    const kubeletConnections = async (): Promise<string> =>
      run("ss", [
        "-Htn",
        "state",
        "established",
        `dst ${secondNetwork.address} and sport ${String(ports.apiServer.port)}`,
      ]);
    const since = performance.now();
    await node.vanish();
    t.diagnostic(`killed after ${seconds(since)}`);
    assert.throws(() => processesOfPod(second), /no process of pod second/);
    assert.notEqual(await kubeletConnections(), "", "the API server has not heard that the kubelet is gone");
    await waitForObject<Node>(options, nodePath, (one) => readiness(one) === "Unknown", 90_000);
    t.diagnostic(`not ready after ${seconds(since)}`);
    const isMoved = (pod: Pod): boolean => isRunning(pod) && pod.spec.nodeName === firstNode.name;
    await waitForObject<Pod>(options, pods, isMoved, 60_000);
    t.diagnostic(`the pod of the Deployment runs on the first node after ${seconds(since)}`);
  });

  it("leaves nothing on this machine and in the cluster, also after it vanished, and when its test died", async (t) => {
    const since = performance.now();
    await node.end();
    t.diagnostic(`ended after ${seconds(since)}`);
    const atFirst = await traces();
    const names = [secondNode.folder, secondNamespace, secondNetwork.interface];
    assert.deepEqual(
      atFirst.filter((trace) => names.some((name) => trace.includes(name))),
      [],
    );
    const leftovers = async (): Promise<string[]> => (await traces()).filter((trace) => !atFirst.includes(trace));
    node = await SecondNode.start();
    await startPod("vanished", node.name);
    assert.notDeepEqual(await leftovers(), []);
    await node.vanish();
    await node.end();
    assert.deepEqual(await leftovers(), []);
    // As if the test had died: nobody ends the first of these two.
    for (const name of ["left", "again"]) {
      node = await SecondNode.start();
      await startPod(name, node.name);
    }
    await node.end();
    assert.deepEqual(await leftovers(), []);
    const { items } = await admin<{ items: Pod[] }>({ method: "GET", path: `${namespacePath}/pods` });
    assert.deepEqual([...new Set(items.map(({ spec }) => spec.nodeName))], [firstNode.name]);
    assert.equal((await admin<{ items: Node[] }>({ method: "GET", path: nodePath })).items.length, 0);
  });
});
