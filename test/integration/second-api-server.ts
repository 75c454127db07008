// Another API server over the cloud's own etcd, which a test may kill: the cloud's, and what uses it, go on undisturbed.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { connect, type Kube, type KubeOptions } from "../../helper/kube.ts";
import { apiServerArgs } from "../local/control-plane.ts";
import { buildKubernetes } from "../local/install.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { kubeconfig, ports, url } from "../local/machine.ts";
import { succeeds } from "../local/process.ts";

export class SecondApiServer {
  readonly options: KubeOptions;
  readonly #port: number;
  #child: ChildProcess | undefined;

  private constructor(port: number) {
    this.#port = port;
    this.options = { ...readKubeconfig(kubeconfig), server: url({ ...ports.apiServer, port }, "https") };
  }

  /** One that is ready. */
  static async start(): Promise<SecondApiServer> {
    const server = new SecondApiServer(await freePort());
    await server.start();
    return server;
  }

  /** Starts it, and again after a `kill`; resolves when it is ready. */
  async start(): Promise<void> {
    const { kubernetes } = await buildKubernetes();
    // It must not take the place of the cloud's own in the cluster's service.
    const args = ["kube-apiserver", ...apiServerArgs(this.#port), "--endpoint-reconciler-type=none"];
    const child = spawn(kubernetes, args, { stdio: "ignore" });
    this.#child = child;
    const kube: Kube = connect(this.options);
    while (!(await succeeds(kube({ method: "GET", path: "/readyz" })))) {
      if (child.exitCode !== null) throw new Error(`the second API server ended with ${String(child.exitCode)}`);
      await delay(50);
    }
  }

  /** Kills it as it stands, and resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child?.exitCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }
}

/** A port that nobody listens on. */
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
