// The stack's Kubernetes resources, carried out by server-side apply: what the Kubernetes provider does, for every kind
// whose plural is its name with an s.
import { connect, orUndefined, type Kube, type KubeOptions } from "../../../helper/kube.ts";
import { readKubeconfig } from "../kubeconfig.ts";
import { lastLines, LocalCloudError } from "../process.ts";
import { waitFor, waitUntilGone } from "../watch.ts";
import { UnfinishedError, type Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

const fieldManager = "pulumi-kubernetes";
const clusterScoped = ["Namespace", "ClusterRole"];
/** Deletion waits for what the object owns (pods that end, a namespace's content), in milliseconds. */
const deletionTimeout = 120_000;

interface Metadata {
  name: string;
  namespace?: string;
  uid: string;
  generation: number;
  annotations?: Record<string, string>;
  managedFields?: { manager: string }[];
}

interface Desired extends Properties {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
}

interface Deployment {
  metadata: Metadata;
  spec: { replicas: number; selector: { matchLabels: Record<string, string> } };
  status?: { observedGeneration?: number; replicas?: number; updatedReplicas?: number; availableReplicas?: number };
}

interface Pod {
  metadata: Metadata;
  status: { phase: string; containerStatuses?: ContainerStatus[] };
}

interface ContainerStatus {
  restartCount: number;
  state?: { waiting?: { reason: string; message?: string } };
}

const cluster = (provider: Properties): KubeOptions => readKubeconfig(String(provider["kubeconfig"]));

function collectionOf({ apiVersion, kind, metadata }: Desired): string {
  const group = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = clusterScoped.includes(kind) ? "" : `/namespaces/${metadata.namespace ?? "default"}`;
  return `${group}${scope}/${kind.toLowerCase()}s`;
}

const pathOf = (desired: Desired): string => `${collectionOf(desired)}/${desired.metadata.name}`;

/** The API server turns `stringData` into `data` but keeps no owner of it: applied as `data`, a later change is one too. */
function asApplied({ stringData, ...desired }: Desired): Properties {
  if (stringData === undefined) return desired;
  const encoded = Object.entries(stringData as Record<string, string>).map(([key, value]) => [
    key,
    Buffer.from(value).toString("base64"),
  ]);
  return { ...desired, data: Object.fromEntries(encoded) as Properties };
}

/** Applies an object and, where it is a Deployment, waits until it is rolled out. */
async function apply(desired: Desired, provider: Properties): Promise<Properties> {
  const options = cluster(provider);
  const kube = connect(options);
  const earlier = desired.kind === "Deployment" ? await podsOf(kube, desired as unknown as Deployment) : [];
  const live = await kube<Deployment>({
    method: "PATCH",
    path: `${pathOf(desired)}?fieldManager=${fieldManager}&force=true`,
    contentType: "application/apply-patch+yaml",
    body: asApplied(desired),
  });
  if (desired.kind === "Deployment") await rollout(options, live, earlier);
  return { ...desired, metadata: { ...desired.metadata, uid: live.metadata.uid, namespace: live.metadata.namespace } };
}

const podsPath = ({ metadata, spec }: Deployment): string => {
  const selector = Object.entries(spec.selector.matchLabels).map(([key, value]) => `${key}=${value}`);
  return `/api/v1/namespaces/${String(metadata.namespace)}/pods?labelSelector=${encodeURIComponent(selector.join(","))}`;
};

const podsOf = async (kube: Kube, deployment: Deployment): Promise<Pod[]> =>
  (await kube<{ items: Pod[] }>({ method: "GET", path: podsPath(deployment) })).items;

/** Why a container will not run without a change of what it was given. */
const hopeless = /^(ImagePullBackOff|InvalidImageName|ErrImageNeverPull|CrashLoopBackOff|CreateContainer(Config)?Error)$/;

const waitingReason = ({ status }: Pod): string | undefined => {
  const waiting = status.containerStatuses?.map(({ state }) => state?.waiting).find((one) => one !== undefined);
  return waiting === undefined ? undefined : `${waiting.reason}${waiting.message === undefined ? "" : `: ${waiting.message}`}`;
};

/** Waits for a rollout, as long as its annotation says. Rejects at once when a new pod cannot start, with its reason and log. */
async function rollout(options: KubeOptions, deployment: Deployment, earlier: readonly Pod[]): Promise<void> {
  const { name, namespace = "", annotations } = deployment.metadata;
  const timeout = Number(annotations?.["pulumi.com/timeoutSeconds"] ?? "600") * 1000;
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments?fieldSelector=metadata.name%3D${name}`;
  const done = waitFor<Deployment>(options, path, ({ object }) => object !== undefined && isRolledOut(object), timeout);
  const old = earlier.map(({ metadata }) => metadata.uid);
  const failed = waitFor<Pod>(
    options,
    podsPath(deployment),
    ({ object }) => object !== undefined && !old.includes(object.metadata.uid) && hopeless.test(waitingReason(object)?.split(":")[0] ?? ""),
    timeout,
  );
  failed.catch(() => undefined);
  await Promise.race([done, failed.then(() => Promise.reject(new Error("a pod cannot start")))]).catch(async (cause: unknown) => {
    throw new UnfinishedError(await explain(options, deployment, old), { cause });
  });
}

function isRolledOut({ metadata, spec, status = {} }: Deployment): boolean {
  const { observedGeneration = 0, replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status;
  const all = [replicas, updatedReplicas, availableReplicas].every((count) => count === spec.replicas);
  return observedGeneration >= metadata.generation && all;
}

async function explain(options: KubeOptions, deployment: Deployment, old: readonly string[]): Promise<string> {
  const { name, namespace = "" } = deployment.metadata;
  const kube = connect(options);
  const lines = [`Deployment ${namespace}/${name} did not become ready.`];
  for (const pod of (await podsOf(kube, deployment)).filter(({ metadata }) => !old.includes(metadata.uid))) {
    lines.push(`Pod ${pod.metadata.name} is ${waitingReason(pod) ?? pod.status.phase}.`);
    const log = `/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}/log?tailLines=10`;
    // A container that never started has no log, and one that restarts has it in its previous run.
    const text = await kube<string>({ method: "GET", path: log }).catch(() => kube<string>({ method: "GET", path: `${log}&previous=true` }).catch(() => ""));
    if (text !== "") lines.push(`Its last log lines:\n${lastLines(text, 10)}`);
  }
  lines.push("Remedy: mend what the pod says, then run the command again: it goes on from here.");
  return lines.join("\n");
}

/** What of an object cannot be changed in place, as JSON. */
function fixedPart(desired: Desired): string {
  const { kind, metadata, type, roleRef, spec } = desired;
  const selector = kind === "Deployment" ? (spec as Deployment["spec"]).selector : undefined;
  return JSON.stringify([kind, metadata.name, metadata.namespace, type, roleRef, selector]);
}

async function remove(desired: Desired, provider: Properties): Promise<void> {
  const options = cluster(provider);
  const body = { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Foreground" };
  const found = await orUndefined(connect(options)({ method: "DELETE", path: pathOf(desired), body }));
  if (found === undefined) return;
  const selector = `fieldSelector=metadata.name%3D${desired.metadata.name}`;
  await waitUntilGone(options, `${collectionOf(desired)}?${selector}`, deletionTimeout);
}

export const kubernetesHandler: Handler = {
  identify: (inputs) => pathOf(inputs as Desired),
  create: async (inputs, provider) => {
    const desired = inputs as Desired;
    const found = await orUndefined(connect(cluster(provider))({ method: "GET", path: pathOf(desired) }));
    if (found !== undefined) {
      const remedy = desired.kind === "Namespace" ? "set ecr-helper:createNamespace to false" : "delete it, or choose another name";
      throw new LocalCloudError(`${pathOf(desired)} exists and was not made by this stack. Remedy: ${remedy}.`);
    }
    return { id: pathOf(desired), outputs: await apply(desired, provider) };
  },
  exists: async ({ inputs, provider }) =>
    (await orUndefined(connect(cluster(provider))({ method: "GET", path: pathOf(inputs as Desired) }))) !== undefined,
  update: async ({ inputs: old, provider }, inputs) =>
    fixedPart(old as Desired) === fixedPart(inputs as Desired)
      ? { outputs: await apply(inputs as Desired, provider) }
      : undefined,
  remove: async ({ inputs, provider }) => remove(inputs as Desired, provider),
  undo: async (inputs, provider) => {
    const path = pathOf(inputs as Desired);
    const found = await orUndefined(connect(cluster(provider))<Desired>({ method: "GET", path }));
    const ours = found?.metadata.managedFields?.some(({ manager }) => manager === fieldManager) === true;
    if (ours) await remove(inputs as Desired, provider);
  },
};
