// API servers beside the cloud's own, which a test may kill, or fill with ten thousand namespaces and delete.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parse, stringify } from "yaml";
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { writeAuditPolicy } from "../local/audit-policy.ts";
import { apiServerArgs, etcdArgs } from "../local/control-plane.ts";
import { buildKubernetes } from "../local/install.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { kubeconfig, ports, url } from "../local/settings.ts";
import { respondsOk, succeeds } from "../local/process.ts";

/** The paths of a certificate that signs itself and of its key, which may be replaced while the API server is down. */
export interface ServingFiles {
  readonly cert: string;
  readonly key: string;
}

/** A kube-apiserver process. */
export class ApiServer {
  readonly options: KubeOptions;
  readonly #port: number;
  readonly #etcd: string;
  readonly #servingArgs: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, etcd: string, serving: ServingFiles | undefined) {
    [this.#port, this.#etcd] = [port, etcd];
    const server = url({ ...ports.apiServer, port }, "https");
    const ca = serving && { ca: () => readFileSync(serving.cert, "utf8") };
    this.options = { ...readKubeconfig(kubeconfig), server, ...ca };
    this.#servingArgs = serving ? [`--tls-cert-file=${serving.cert}`, `--tls-private-key-file=${serving.key}`] : [];
  }

  /**
   * Starts one on the etcd at a URL, by default the cloud's own, and resolves when it is ready. Its certificate is the
   * cloud's unless it has files of its own.
   */
  static async start(etcd = url(ports.etcd), serving?: ServingFiles): Promise<ApiServer> {
    const server = new ApiServer(await freePort(), etcd, serving);
    await server.start();
    return server;
  }

  /** Starts it, also after a `kill`; resolves when it is ready. */
  async start(): Promise<void> {
    await writeAuditPolicy();
    // It must not register itself as an endpoint of the cluster's `kubernetes` service.
    const own = ["--endpoint-reconciler-type=none", ...this.#servingArgs];
    const args = [...apiServerArgs(this.#port, this.#etcd), ...own];
    this.#child = await startComponent("kube-apiserver", args);
    const kube = createKubeClient(this.options);
    await waitUntil(this.#child, async () => succeeds(kube({ method: "GET", path: "/readyz" })));
  }

  /** Writes its administrator's kubeconfig to a file. */
  async writeKubeconfig(file: string): Promise<void> {
    const config = parse(await readFile(kubeconfig, "utf8")) as { clusters: { cluster: { server: string } }[] };
    for (const { cluster } of config.clusters) cluster.server = this.options.server;
    await writeFile(file, stringify(config), { mode: 0o600 });
  }

  /** The process id; 0 if it could not be started. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Kills it, and resolves when it has ended. */
  async kill(): Promise<void> {
    if (this.#child !== undefined) await killAndWait(this.#child);
  }
}

/** Starts an empty etcd, and resolves with its URL, its process id, and a function that ends it. */
export async function startEtcd(): Promise<{ address: string; pid: number; kill: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-etcd-"));
  const [address, peer] = [await freePort(), await freePort()].map((port) => url({ ...ports.etcd, port }));
  if (address === undefined) throw new Error("unreachable: two ports were asked for");
  const child = await startComponent("etcd", etcdArgs(folder, address, peer));
  await waitUntil(child, async () => respondsOk(`${address}/health`));
  return {
    address,
    pid: child.pid ?? 0,
    kill: async () => {
      await killAndWait(child);
      await rm(folder, { recursive: true });
    },
  };
}

async function startComponent(name: string, args: readonly string[]): Promise<ChildProcess> {
  const { kubernetes } = await buildKubernetes();
  return spawn(kubernetes, [name, ...args], { stdio: "ignore" });
}

/** Resolves when a check holds; rejects when the process ends before. */
async function waitUntil(child: ChildProcess, check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) {
    if (child.exitCode !== null) throw new Error(`${String(child.spawnargs[1])} ended with ${String(child.exitCode)}`);
    await delay(50);
  }
}

async function killAndWait(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** A free TCP port. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
