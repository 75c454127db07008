// Pushes a test image to a registry, and runs pods that pull it.
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { docker, importImage, push } from "../local/docker.ts";
import { buildKubernetes } from "../local/install.ts";
import { waitForObject } from "../local/watch.ts";

/** A pod, with the parts of it that the tests look at. */
export interface Pod {
  metadata: { name: string; deletionTimestamp?: string };
  spec: { containers: { image: string }[] };
  status: {
    phase: string;
    containerStatuses?: { ready: boolean; state: { waiting?: { reason: string; message?: string } } }[];
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
/** Whether the image of a pod could not be pulled. */
export const isRefused = (pod: Pod): boolean => waitingOf(pod).reason === "ErrImagePull";

/** Starts a pod that always pulls its image. Resolves when the pod matches `wanted`; rejects after a minute. */
export async function runPod(
  options: KubeOptions,
  namespace: string,
  { name, image, serviceAccountName }: { name: string; image: string; serviceAccountName: string },
  wanted: (pod: Pod) => boolean,
): Promise<Pod> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  const spec = {
    serviceAccountName,
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "app", image, imagePullPolicy: "Always" }],
  };
  await createKubeClient(options)({ method: "POST", path, body: { metadata: { name }, spec } });
  return waitForObject<Pod>(options, `${path}?fieldSelector=metadata.name%3D${name}`, wanted, 60_000);
}
