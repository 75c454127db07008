// A cluster that leaves less to its tenants: a quota, a range of user ids, and nodes that come later. The helper runs as a user
// that its image does not know in reconfiguration.test.ts.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createKubeClient } from "../../helper/kube/client.ts";
import { KubeError, undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { firstNode } from "../local/node-settings.ts";
import { kubeconfig } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { makeCheckout } from "../support/commands.ts";
import { secretPath, type Secret } from "../support/kept-objects.ts";
import { TestNamespaces } from "../support/test-namespaces.ts";
import { isReady, podsWhen } from "./pods.ts";

const id = randomBytes(3).toString("hex");
const stack = `rc-${id}`;
const build = `build-${id}`;
/** A label that no node has at first. */
const pool = `ecr-helper.test/${id}`;
const { start, command, remove } = await makeCheckout(stack);

interface ScheduledPod {
  spec: { nodeName?: string; securityContext: { runAsUser?: number } };
  status: { conditions?: { type: string; reason?: string }[] };
}

interface RefusedDeployment {
  status: { conditions: { type: string; message: string }[] };
}

describe("a stack in a cluster that restricts its tenants", () => {
  const options = readKubeconfig(kubeconfig);
  const kube = createKubeClient(options);
  const namespaces = new TestNamespaces(kube);
  const [pods, registration] = [`/api/v1/namespaces/${stack}/pods`, "/apis/admissionregistration.k8s.io/v1"];
  const create = async (path: string, body: object): Promise<unknown> => kube({ method: "POST", path, body });
  const labelNode = async (value: string | null): Promise<unknown> =>
    kube({
      method: "PATCH",
      path: `/api/v1/nodes/${firstNode.name}`,
      contentType: "application/merge-patch+json",
      body: { metadata: { labels: { [pool]: value } } },
    });
  const settingsOf = (settings: readonly string[]): string[] => settings.flatMap((setting) => ["-c", setting]);
  const common = [
    ...["namespace", "repositoryName", "policyName", "userName", "roleName"].map((key) => `${key}=${stack}`),
    `buildNamespaces=["${build}"]`,
    "createNamespace=false",
    'resources=["requests.cpu=50m","limits.cpu=100m"]',
  ];

  /** As OpenShift's restricted-v2: an id of the namespace's range, or none, which OpenShift then sets. */
  const policy = {
    metadata: { name: stack },
    spec: {
      matchConstraints: {
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": stack } },
        resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["pods"], operations: ["CREATE"] }],
      },
      validations: ["runAsUser", "runAsGroup", "fsGroup"].map((field) => ({
        expression: `object.spec.?securityContext.?${field}.orValue(1000000000) >= 1000000000`,
        message: `${field} is not in the range of the namespace`,
      })),
    },
  };
  const isEnforced = async (): Promise<boolean> => {
    const resources = { requests: { cpu: "50m" }, limits: { cpu: "100m" } };
    const container = {
      name: "app",
      image: "app",
      resources,
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
    };
    const securityContext = { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: "RuntimeDefault" } };
    const body = { metadata: { name: "probe" }, spec: { securityContext, containers: [container] } };
    return create(`${pods}?dryRun=All`, body).then(
      () => false,
      (error: unknown) => error instanceof KubeError && error.status === 422,
    );
  };

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await create(`${registration}/validatingadmissionpolicies`, policy);
    const spec = { policyName: stack, validationActions: ["Deny"] };
    await create(`${registration}/validatingadmissionpolicybindings`, { metadata: { name: stack }, spec });
    await namespaces.create(build);
    await namespaces.create(stack, { "pod-security.kubernetes.io/enforce": "restricted" });
    // Room for two helpers, as there are in a rollout.
    const hard = { "limits.cpu": "200m", "requests.cpu": "100m" };
    await create(`/api/v1/namespaces/${stack}/resourcequotas`, { metadata: { name: "cpu" }, spec: { hard } });
    const limits = [{ type: "Container", min: { cpu: "50m" } }];
    await create(`/api/v1/namespaces/${stack}/limitranges`, { metadata: { name: "cpu" }, spec: { limits } });
    // An API server needs about a second for a new policy, and tells nobody.
    while (!(await isEnforced())) await delay(20);
  });

  after(async () => {
    await command("down");
    await labelNode(null);
    for (const kind of ["validatingadmissionpolicybindings", "validatingadmissionpolicies"])
      await undefinedIfNotFound(kube({ method: "DELETE", path: `${registration}/${kind}/${stack}` }));
    await namespaces.remove(stack);
    await remove();
  });

  const running = async (): Promise<ScheduledPod> => {
    await podsWhen(options, stack, (live) => live.length === 1 && live.every(isReady), 20_000);
    const { items } = await kube<{ items: (ScheduledPod & { metadata: { deletionTimestamp?: string } })[] }>({
      method: "GET",
      path: pods,
    });
    return items.find(({ metadata }) => metadata.deletionTimestamp === undefined) ?? assert.fail();
  };
  it("is refused with the default user, and the Deployment says so", async () => {
    const { code, stderr } = await command("up", ...settingsOf([...common, "rolloutTimeout=10"]));
    assert.equal(code, 1, stderr);
    assert.match(stderr, /Minimum number of live Pods was not attained/);
    const path = `/apis/apps/v1/namespaces/${stack}/deployments/ecr-helper`;
    const { conditions } = (await kube<RefusedDeployment>({ method: "GET", path })).status;
    const refusal = conditions.find(({ type }) => type === "ReplicaFailure");
    assert.match(refusal?.message ?? "", /denied request: runAsUser is not in the range of the namespace/);
  });

  it("runs with the cluster's user, within the quota, once there is a node of its pool", async (t) => {
    const { ended } = start("up", ...settingsOf([...common, "runAsUser=cluster", `nodeSelector=["${pool}=builds"]`]));
    const isUnschedulable = ({ status }: ScheduledPod): boolean =>
      status.conditions?.some(({ reason }) => reason === "Unschedulable") === true;
    await waitForObject<ScheduledPod>(options, pods, isUnschedulable, 60_000);
    await labelNode("builds");
    const since = performance.now();
    const { code, stderr } = await ended;
    assert.equal(code, 0, stderr);
    t.diagnostic(`up ended ${((performance.now() - since) / 1000).toFixed(1)} s after there was a node`);
    const { spec } = await running();
    assert.deepEqual([spec.nodeName, spec.securityContext.runAsUser], [firstNode.name, undefined]);
    assert.ok((await kube<Secret>({ method: "GET", path: secretPath(build, "ecr-creds") })).data);
  });
});
