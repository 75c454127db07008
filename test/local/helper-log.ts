// The log of a stack's helper.
import { createKubeClient } from "../../helper/kube/client.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { kubeconfig } from "./settings.ts";
import { waitForObject } from "./watch.ts";

interface Pod {
  metadata: { name: string; deletionTimestamp?: string };
  status: { phase: string };
}

/** How long to wait for a running pod, in milliseconds. With identity node pulumi itself does not wait for one. */
const podTimeout = 30_000;

/** The log of the helper so far, found by the outputs of its stack; undefined where no pod of it is running. */
export async function helperLog({ namespace, deployment }: Record<string, unknown>): Promise<string | undefined> {
  const options = readKubeconfig(kubeconfig);
  const selector = encodeURIComponent(`app.kubernetes.io/name=${String(deployment)}`);
  const pods = `/api/v1/namespaces/${String(namespace)}/pods`;
  const isRunning = ({ metadata, status }: Pod): boolean =>
    status.phase === "Running" && metadata.deletionTimestamp === undefined;
  const pod = await waitForObject<Pod>(options, `${pods}?labelSelector=${selector}`, isRunning, podTimeout).catch(
    () => undefined,
  );
  if (pod === undefined) return undefined;
  return createKubeClient(options)<string>({ method: "GET", path: `${pods}/${pod.metadata.name}/log` });
}
