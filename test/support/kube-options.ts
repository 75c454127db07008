// The options of the helper's client for a cluster that a test describes.
import { inCluster, type KubeOptions } from "../../helper/kube/client.ts";
import type { Cluster } from "./helper-process.ts";

/** The API server as the helper reaches it: with the files of the cluster's `folder`, if it has one. */
export function kubeOptionsOf({ server, ca, token, folder }: Cluster): KubeOptions {
  if (folder === undefined) return { server, ca: () => ca, token: () => token };
  const { hostname, port } = new URL(server);
  return inCluster({ KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }, folder);
}
