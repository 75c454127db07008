// The stack's Kubernetes resources, carried out by server-side apply: what the Kubernetes provider does, for every kind
// whose plural is its name with an s, or with ies for its y.
import { isDeepStrictEqual } from "node:util";
import { connect, orUndefined, type Kube, type KubeOptions } from "../../../helper/kube.ts";
import { readKubeconfig } from "../kubeconfig.ts";
import { LocalCloudError } from "../process.ts";
import { waitForObject, waitUntilGone } from "../watch.ts";
import { cameOf, UnfinishedError, type Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

const fieldManager = "pulumi-kubernetes";
const clusterScoped = ["Namespace", "ClusterRole", "ClusterRoleBinding"];
/** Deletion waits for what the object owns (pods that end, a namespace's content), in milliseconds. */
const deletionTimeout = 120_000;

interface Metadata {
  name: string;
  namespace?: string;
  uid: string;
  generation: number;
  creationTimestamp?: string;
  labels?: Record<string, string>;
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
  spec: { replicas: number; selector: { matchLabels: Record<string, string> }; template: Template };
  status?: { observedGeneration?: number; replicas?: number; updatedReplicas?: number; availableReplicas?: number };
}

interface ReplicaSet {
  metadata: Metadata;
  spec: { template: Template };
}

interface Template {
  metadata: { annotations?: Record<string, string> };
  spec: object;
}

interface Pod {
  metadata: Metadata;
  status: { phase: string; containerStatuses?: ContainerStatus[] };
}

interface ContainerStatus {
  state?: { waiting?: { reason: string; message?: string } };
}

const cluster = (provider: Properties): KubeOptions => readKubeconfig(String(provider["kubeconfig"]));

function collectionOf({ apiVersion, kind, metadata }: Desired): string {
  const group = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = clusterScoped.includes(kind) ? "" : `/namespaces/${metadata.namespace ?? "default"}`;
  return `${group}${scope}/${`${kind.toLowerCase()}s`.replace(/ys$/, "ies")}`;
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
  const live = await kube<Deployment>({
    method: "PATCH",
    path: `${pathOf(desired)}?fieldManager=${fieldManager}&force=true`,
    contentType: "application/apply-patch+yaml",
    body: asApplied(desired),
  });
  if (desired.kind === "Deployment") await rollout(options, live);
  return { ...desired, metadata: { ...desired.metadata, uid: live.metadata.uid, namespace: live.metadata.namespace } };
}

const shortened = (text: string): string => text.replace(/^(.{300}).+$/gm, "$1...");

const named = (name: string): string => `fieldSelector=metadata.name%3D${name}`;

/** Waits for the ReplicaSet of a Deployment's template, which its controller makes when the old pods are gone, and gives the path of its pods. */
async function newPods(options: KubeOptions, { metadata, spec }: Deployment, timeout: number): Promise<string> {
  const selector = Object.entries(spec.selector.matchLabels).map(([key, value]) => `${key}=${value}`);
  const selected = (...more: string[]): string =>
    `labelSelector=${encodeURIComponent([...selector, ...more].join(","))}`;
  const sets = `/apis/apps/v1/namespaces/${String(metadata.namespace)}/replicasets?${selected()}`;
  const isNew = ({ spec: { template } }: ReplicaSet): boolean =>
    isDeepStrictEqual(template.spec, spec.template.spec) &&
    isDeepStrictEqual(template.metadata.annotations, spec.template.metadata.annotations);
  const { metadata: set } = await waitForObject<ReplicaSet>(options, sets, isNew, timeout);
  const hash = set.labels?.["pod-template-hash"] ?? "";
  return `/api/v1/namespaces/${String(metadata.namespace)}/pods?${selected(`pod-template-hash=${hash}`)}`;
}

/** Why a container will not run without a change of what it was given. */
const hopeless =
  /^(ImagePullBackOff|InvalidImageName|ErrImageNeverPull|CrashLoopBackOff|CreateContainer(Config)?Error)$/;

const waitingReason = ({ status }: Pod): string | undefined => {
  const waiting = status.containerStatuses?.map(({ state }) => state?.waiting).find((one) => one !== undefined);
  return waiting === undefined
    ? undefined
    : `${waiting.reason}${waiting.message === undefined ? "" : `: ${waiting.message}`}`;
};

/** Waits for a rollout, as long as its annotation says. Rejects at once when a new pod cannot start, with its reason and log. */
async function rollout(options: KubeOptions, deployment: Deployment): Promise<void> {
  const { name, namespace = "", annotations } = deployment.metadata;
  const timeout = Number(annotations?.["pulumi.com/timeoutSeconds"] ?? "600") * 1000;
  const deployments = `/apis/apps/v1/namespaces/${namespace}/deployments?${named(name)}`;
  const pods = await newPods(options, deployment, timeout);
  const isHopeless = (pod: Pod): boolean => hopeless.test(waitingReason(pod)?.split(":")[0] ?? "");
  const decided = new AbortController();
  const { signal } = decided;
  const done = waitForObject<Deployment>(options, deployments, isRolledOut, timeout, signal);
  const failed = waitForObject<Pod>(options, pods, isHopeless, timeout, signal);
  try {
    await Promise.race([done, failed.then(async () => Promise.reject(new Error("a pod cannot start")))]);
  } catch (cause) {
    throw new UnfinishedError(await explain(options, `${namespace}/${name}`, pods), { cause });
  } finally {
    decided.abort();
    await Promise.allSettled([done, failed]);
  }
}

function isRolledOut({ metadata, spec, status = {} }: Deployment): boolean {
  const { observedGeneration = 0, replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status;
  const all = [replicas, updatedReplicas, availableReplicas].every((count) => count === spec.replicas);
  return observedGeneration >= metadata.generation && all;
}

async function explain(options: KubeOptions, deployment: string, pods: string): Promise<string> {
  const kube = connect(options);
  const lines = [`Deployment ${deployment} did not become ready.`];
  for (const pod of (await kube<{ items: Pod[] }>({ method: "GET", path: pods })).items) {
    lines.push(`Pod ${pod.metadata.name} is ${waitingReason(pod) ?? pod.status.phase}.`);
    const log = await lastLog(kube, `${pods.split("?")[0] ?? ""}/${pod.metadata.name}/log?tailLines=20`);
    if (log !== "") lines.push(`Its last log lines:\n${shortened(log.trim())}`);
  }
  lines.push("Remedy: mend what the pod says, then run the command again: it goes on from here.");
  return lines.join("\n");
}

/** A container that restarts has its log in its previous run, and one that never started has none. */
const lastLog = async (kube: Kube, path: string): Promise<string> =>
  kube<string>({ method: "GET", path: `${path}&previous=true` })
    .catch(async () => kube<string>({ method: "GET", path }))
    .catch(() => "");

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
  await waitUntilGone(options, `${collectionOf(desired)}?${named(desired.metadata.name)}`, deletionTimeout);
}

/** What to do where somebody else has the name. Roles have theirs from the stack. */
function remedyFor(kind: string): string {
  if (kind === "Namespace") return "set ecr-helper:createNamespace to false, or choose another namespace";
  return `delete it, or choose another ${kind.includes("Role") ? "name of the stack" : "namespace"}`;
}

export const kubernetesHandler: Handler = {
  identify: (inputs) => pathOf(inputs as Desired),
  create: async (inputs, provider) => {
    const desired = inputs as Desired;
    const found = await orUndefined(connect(cluster(provider))({ method: "GET", path: pathOf(desired) }));
    if (found !== undefined) {
      const { kind, metadata } = desired;
      const where = metadata.namespace === undefined ? "" : ` in namespace ${metadata.namespace}`;
      throw new LocalCloudError(
        `${kind} ${metadata.name}${where} exists and was not made by this stack. Remedy: ${remedyFor(kind)}.`,
      );
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
  undo: async ({ inputs, provider, since }) => {
    const path = pathOf(inputs as Desired);
    const found = await orUndefined(connect(cluster(provider))<Desired>({ method: "GET", path }));
    const ours = found?.metadata.managedFields?.some(({ manager }) => manager === fieldManager) === true;
    if (ours && cameOf({ since }, found.metadata.creationTimestamp)) await remove(inputs as Desired, provider);
  },
};
