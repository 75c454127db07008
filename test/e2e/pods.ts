// Pushes a test image to a registry, and runs pods that pull it.
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { docker, importImage, push } from "../local/docker.ts";
import { buildKubernetes } from "../local/install.ts";
import { waitFor, waitForObject, type Change } from "../local/watch.ts";

/** A pod, with the parts of it that the tests look at. */
export interface Pod {
  metadata: { name: string; deletionTimestamp?: string };
  spec: { nodeName?: string; containers: { image: string }[] };
  status: {
    phase: string;
    containerStatuses?: {
      ready: boolean;
      containerID?: string;
      state: { waiting?: { reason: string; message?: string } };
    }[];
  };
}

/** Creates an image of a program that waits, and deletes it from the engine after `use`. */
export async function withImage<T>(image: string, use: () => Promise<T>): Promise<T> {
  const { pause } = await buildKubernetes();
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-app-"));
  try {
    await cp(pause, join(folder, "app"));
    await importImage(folder, image, ['ENTRYPOINT ["/app"]']);
    return await use();
  } finally {
    await docker(["image", "rm", image]);
    await rm(folder, { recursive: true });
  }
}

/** Pushes a new test image with a password of ECR. */
export const pushApp = async (image: string, password: string): Promise<void> =>
  withImage(image, async () => push(image, image.split("/")[0] ?? "", "AWS", password));

/** The reason and message with which the first container of a pod waits; an empty reason if it does not wait. */
export const waitingOf = (pod: Pod): { reason: string; message?: string } =>
  pod.status.containerStatuses?.[0]?.state.waiting ?? { reason: "" };

/** Whether a pod runs. */
export const isRunning = (pod: Pod): boolean => pod.status.phase === "Running";
/** Whether the container of a pod is ready. */
export const isReady = (pod: Pod): boolean => pod.status.containerStatuses?.[0]?.ready === true;
/** Whether the image of a pod could not be pulled. */
export const isRefused = (pod: Pod): boolean => waitingOf(pod).reason === "ErrImagePull";

/** A pod of one container, on a node that the scheduler chooses unless one is named. */
export interface PodToRun {
  readonly name: string;
  readonly image: string;
  readonly serviceAccountName: string;
  readonly nodeName?: string;
}

/** Starts a pod that always pulls its image. Resolves when the pod matches `wanted`; rejects after a minute. */
export async function runPod(
  options: KubeOptions,
  namespace: string,
  { name, image, ...placement }: PodToRun,
  wanted: (pod: Pod) => boolean,
): Promise<Pod> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const spec = {
    ...placement,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "app", image, imagePullPolicy: "Always" }],
  };
  await createKubeClient(options)({ method: "POST", path, body: { metadata: { name }, spec } });
  return waitForObject<Pod>(options, `${path}?fieldSelector=metadata.name%3D${name}`, wanted, 60_000);
}

/** Resolves with the pods of a namespace that are not ending, once `wanted` accepts them. Rejects after `timeout` milliseconds. */
export async function podsWhen(
  options: KubeOptions,
  namespace: string,
  wanted: (pods: readonly Pod[]) => boolean,
  timeout: number,
): Promise<Pod[]> {
  const live = new Map<string, Pod>();
  let isListed = false;
  const isWanted = ({ type, object }: Change<Pod>): boolean => {
    if (object === undefined) isListed = true;
    else if (type === "DELETED" || object.metadata.deletionTimestamp !== undefined) live.delete(object.metadata.name);
    else live.set(object.metadata.name, object);
    return isListed && wanted([...live.values()]);
  };
  await waitFor<Pod>(options, `/api/v1/namespaces/${namespace}/pods`, isWanted, timeout);
  return [...live.values()];
}
