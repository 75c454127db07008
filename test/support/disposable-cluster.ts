// An API server and an etcd for one test, which may create thousands of namespaces without waiting for their deletion.
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiServer, startEtcd } from "./api-server.ts";
import { bundleHelper } from "./helper-bundle.ts";

/** A running API server with its own etcd. */
export interface DisposableCluster {
  readonly kubeconfig: string;
  /** A folder that `remove` deletes. */
  readonly folder: string;
  /** Node's arguments that run a helper as the image does. */
  readonly command: readonly string[];
  /** The ids of its processes. */
  readonly pids: { readonly "API server": number; readonly etcd: number };
  remove(): Promise<void>;
}

/** Starts an API server with its own etcd, and bundles the helper. */
export async function startDisposableCluster(): Promise<DisposableCluster> {
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-cluster-"));
  // The helper may run as another user; the modes of the secret files in the folder keep them private.
  await chmod(folder, 0o711);
  const etcd = await startEtcd();
  const server = await ApiServer.start(etcd.address);
  const kubeconfig = join(folder, "kubeconfig");
  await server.writeKubeconfig(kubeconfig);
  return {
    kubeconfig,
    folder,
    command: bundleHelper(folder),
    pids: { "API server": server.pid, etcd: etcd.pid },
    remove: async () => {
      await server.kill();
      await etcd.kill();
      await rm(folder, { recursive: true });
    },
  };
}
