// An API server and an etcd of one's own: thousands of namespaces, and nobody has to wait for their end.
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiServer, startEtcd } from "./api-server.ts";
import { bundleHelper } from "./helper-bundle.ts";

export interface DisposableCluster {
  readonly kubeconfig: string;
  /** A folder that ends with the cluster. */
  readonly folder: string;
  /** What Node is given to run a helper as the image does. */
  readonly command: readonly string[];
  remove(): Promise<void>;
}

export async function startDisposableCluster(): Promise<DisposableCluster> {
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-cluster-"));
  // For whoever the helper runs as: what is secret in it is closed by itself.
  await chmod(folder, 0o711);
  const etcd = await startEtcd();
  const server = await ApiServer.start(etcd.address);
  const kubeconfig = join(folder, "kubeconfig");
  await server.writeKubeconfig(kubeconfig);
  return {
    kubeconfig,
    folder,
    command: bundleHelper(folder),
    remove: async () => {
      await server.kill();
      await etcd.kill();
      await rm(folder, { recursive: true });
    },
  };
}
