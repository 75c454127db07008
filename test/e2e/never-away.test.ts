// Two helpers on two nodes, through one change of the stack after the other: somebody always works, and only one.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { createKubeClient } from "../../helper/kube/client.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { firstNode } from "../local/node-settings.ts";
import { rootCredentials } from "../local/root-key.ts";
import { account, aws, cluster, kubeconfig, ports } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { changesOf, makeCheckout, noChanges } from "../support/commands.ts";
import { passwordFor, RegistryClient } from "../support/registry-client.ts";
import { SecondNode } from "../support/second-node.ts";
import { SecretMonitor } from "../support/secret-monitor.ts";
import { TestNamespaces } from "../support/test-namespaces.ts";
import { isRunning, pushApp, runPod, type Pod } from "./pods.ts";
import { PullLoop } from "./pull-loop.ts";
import { helperWrites, LeaseHistory, writesWithoutLease } from "./terms.ts";

const id = randomBytes(3).toString("hex");
const stack = `na-${id}`;
const namespaces = Array.from({ length: 50 }, (_, index) => `${stack}-${String(index)}`);
const repositoryName = `${stack}-app`;
const image = `${ports.registry.address}:${String(ports.registry.port)}/${repositoryName}:1`;
const { folder, command, runShell, remove } = await makeCheckout(stack);

interface Deployment {
  metadata: { generation: number };
  spec: { replicas: number };
  status: { observedGeneration?: number; replicas?: number; readyReplicas?: number; updatedReplicas?: number };
}

/** The settings of one `pulumi up`, or another way to replace the helpers. */
type Change = readonly string[] | "restart" | "image";

const inEks = ["kubeconfig=", `eksCluster=${cluster}`];
const outsideEks = [`kubeconfig=${kubeconfig}`, "eksCluster="];

/** What another number of replicas changes in the stack, or anything else. */
const changedBy = (settings: readonly string[]): string =>
  settings.some((one) => one.startsWith("replicas=")) ? "DeploymentPatch ecr-helper-replicas" : "Deployment ecr-helper";

/** Applied one after the other and kept. Each replaces the helpers, except another number of replicas. */
const changes: readonly (readonly Change[])[] = [
  [["logLevel=debug", "networkPolicy=all"], "restart", "image", "restart"],
  [["basicAuthSecret=logins", "pullSecret=pulls"], "restart", ["replicas=3"], "restart"],
  [["identity=podIdentity", ...inEks], "restart", ["replicas=2"], "image"],
  [["basicAuthSecret=ecr-creds", "pullSecret=ecr-creds-pull"], "restart", ["logFormat=json"], "restart"],
  [["identity=accessKey", ...outsideEks], "restart", ["accessKeyGeneration=2", "networkPolicy=none"], "restart"],
];

describe("a stack with two helpers on two nodes", () => {
  const options = readKubeconfig(kubeconfig);
  const kube = createKubeClient(options);
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  const testNamespaces = new TestNamespaces(kube);
  const deployments = `/apis/apps/v1/namespaces/${stack}/deployments`;
  let node: SecondNode;
  let lease: LeaseHistory;
  let monitor: SecretMonitor;
  let loop: PullLoop | undefined;
  let images = 0;

  const helperPods = async (): Promise<Pod[]> => {
    const { items } = await kube<{ items: Pod[] }>({ method: "GET", path: `/api/v1/namespaces/${stack}/pods` });
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  };
  const up = async (...settings: readonly string[]): Promise<string[]> => {
    const { code, stderr } = await command("up", ...settings.flatMap((setting) => ["-c", setting]));
    assert.equal(code, 0, stderr);
    return changesOf({ stderr }).sort();
  };

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    for (const name of namespaces) await testNamespaces.create(name);
    await ecr.send(new CreateRepositoryCommand({ repositoryName }));
    const password = await passwordFor(rootCredentials(account), { api: ports.gateway });
    await pushApp(image, password);
    await new RegistryClient(ports.registry, password).push(repositoryName, "loop", "a layer");
    node = await SecondNode.start();
    lease = new LeaseHistory(options, stack);
  });

  after(async () => {
    await loop?.stop();
    await command("down");
    await testNamespaces.remove(stack);
    await node.end();
    await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
    await remove();
  });

  it("runs one on each, of which one works, and a second up and a refresh find nothing to change", async () => {
    const names = ["namespace", "repositoryName", "policyName", "userName", "roleName"].map((key) => `${key}=${stack}`);
    const made = await up(...names, `buildNamespaces=["${stack}-*"]`, "replicas=2");
    assert.ok(made.includes("created PodDisruptionBudget ecr-helper"));
    const pods = await helperPods();
    assert.deepEqual(pods.map(({ spec }) => spec.nodeName).sort(), [firstNode.name, node.name].sort());
    assert.ok(pods.every(({ status }) => status.containerStatuses?.[0]?.ready === true));
    assert.ok(
      pods.some(({ metadata }) => metadata.name === lease.holder),
      lease.holder,
    );
    const again = await command("up");
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, noChanges);
    const refreshed = await runShell("pulumi refresh --yes --skip-preview --non-interactive --expect-no-changes");
    assert.equal(refreshed.code, 0, refreshed.stdout + refreshed.stderr);
    monitor = await SecretMonitor.start({ admin: kube, options, owner: `ecr-helper-${stack}` }, ports.registry);
    loop = new PullLoop(options, namespaces, { repository: repositoryName, reference: "loop" });
  });

  /** Waits until the Deployment's pods are those that it should have. */
  const rolledOut = async (generation: number): Promise<unknown> =>
    waitForObject<Deployment>(
      options,
      `${deployments}?fieldSelector=metadata.name%3Decr-helper`,
      ({ spec: { replicas }, status }) =>
        (status.observedGeneration ?? 0) >= generation &&
        [status.replicas, status.readyReplicas, status.updatedReplicas].every((count) => count === replicas),
      90_000,
    );
  /** As `kubectl rollout restart` does. */
  const restart = async (): Promise<void> => {
    const annotations = { "kubectl.kubernetes.io/restartedAt": new Date().toISOString() };
    const { metadata } = await kube<Deployment>({
      method: "PATCH",
      path: `${deployments}/ecr-helper?fieldManager=kubectl-rollout`,
      contentType: "application/strategic-merge-patch+json",
      body: { spec: { template: { metadata: { annotations } } } },
    });
    await rolledOut(metadata.generation);
  };
  const changeImage = async (): Promise<void> => {
    const file = join(folder, "helper/observability/http-server.ts");
    const source = await readFile(file, "utf8");
    await writeFile(file, source.replace(/"[a-z0-9]+ \/healthz/, `"only${String(++images)} /healthz`));
    assert.deepEqual(await up(), ["updated Deployment ecr-helper", "updated Image ecr-helper"]);
  };
  const apply = async (change: Change): Promise<void> => {
    if (change === "restart") await restart();
    else if (change === "image") await changeImage();
    else assert.ok((await up(...change)).includes(`updated ${changedBy(change)}`), change.join());
  };

  for (const [index, some] of changes.entries()) {
    it(`goes through changes ${String(4 * index + 1)} to ${String(4 * index + 4)}`, async (t: TestContext) => {
      for (const change of some) {
        const [since, pulled, terms] = [performance.now(), loop?.pulled ?? 0, lease.acquisitions.length];
        await apply(change);
        const seconds = (performance.now() - since) / 1000;
        const nodes = (await helperPods()).map(({ spec }) => spec.nodeName);
        t.diagnostic(
          `${String(change)}: ${seconds.toFixed(1)} s, ${String((loop?.pulled ?? 0) - pulled)} pulls, ` +
            `${String(lease.acquisitions.length - terms)} changes of the Lease, on ${nodes.join(" and ")}`,
        );
      }
      for (const nodeName of [firstNode.name, node.name]) {
        const pod = { name: `app-${String(index)}-${nodeName}`, image, serviceAccountName: "builder-sa", nodeName };
        await runPod(options, namespaces[index] ?? "", pod, isRunning);
      }
    });
  }

  it("refused no pull, left no namespace without a valid credential, and never wrote by two helpers", async (t: TestContext) => {
    const { pulled, failed, renamed } = (await loop?.stop()) ?? assert.fail();
    loop = undefined;
    t.diagnostic(`${String(pulled)} pulls, ${String(failed.length)} failed, ${String(renamed)} saw a rename`);
    assert.deepEqual(failed, []);
    const violations = await monitor.stop();
    const { acquisitions } = lease;
    const writes = await helperWrites(options, stack);
    t.diagnostic(`${String(monitor.versions.length)} versions of secrets`);
    t.diagnostic(
      `${String(writes.length)} writes of ${String(new Set(writes.map(({ pod }) => pod)).size)} helpers ` +
        `in ${String(acquisitions.filter(({ pod }) => pod !== "").length)} terms`,
    );
    assert.deepEqual(writesWithoutLease(writes, acquisitions), []);
    // Another name means another secret: only then, and only once, is the last one deleted.
    const deleted = new Map<string, number>();
    const others = violations.filter((one) => {
      const [, name = ""] = /\/(\S+) was deleted$/.exec(one) ?? [];
      if (name !== "") deleted.set(name, (deleted.get(name) ?? 0) + 1);
      return name === "";
    });
    assert.deepEqual(others, []);
    assert.deepEqual(
      [...deleted].sort(),
      Object.entries({ "ecr-creds": 50, logins: 50, pulls: 51, "ecr-creds-pull": 51 }).sort(),
    );
  });

  it("is destroyed and leaves nothing", async () => {
    await lease.stop();
    const { code, stderr } = await command("down");
    assert.equal(code, 0, stderr);
    assert.match(stderr, /is destroyed and left nothing in AWS, the registry or the cluster\./);
  });
});
