// A second node of the local cloud's Kubernetes, which a test starts and which can die. It has a containerd, a kubelet and a network of
// its own; a machine has one such node at a time.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { startContainerd } from "../local/containerd.ts";
import { adminKube } from "../local/control-plane.ts";
import { buildKubernetes } from "../local/install.ts";
import { startNode } from "../local/node.ts";
import { secondNode } from "../local/node-settings.ts";
import { connectSecondNode, cutSecondNode, killSecondNode, removeSecondNode } from "../local/second-node.ts";
import { kubeconfig } from "../local/settings.ts";

interface Named {
  metadata: { name: string; namespace: string };
}

/** The second node; a test has to call `end`. */
export class SecondNode {
  /** The name of its Node object. */
  readonly name = secondNode.name;
  #isConnected = true;

  private constructor() {
    // Only `start` makes one.
  }

  /** Starts the node; resolves when it is ready. Removes first what a test that died left of an earlier one. */
  static async start(): Promise<SecondNode> {
    const node = new SecondNode();
    await node.end();
    try {
      await mkdir(secondNode.folder, { mode: 0o700 });
      await writeKubeconfig();
      await connectSecondNode();
      await startContainerd(secondNode);
      await startNode(secondNode, await buildKubernetes());
    } catch (error) {
      await node.end();
      throw error;
    }
    return node;
  }

  /** Cuts the node's cable: it and its pods run on and reach nothing, and nothing reaches them. Connections stay open on both sides. */
  async cutOff(): Promise<void> {
    if (this.#isConnected) await cutSecondNode(true);
    this.#isConnected = false;
  }

  /** Undoes `cutOff`. */
  async reconnect(): Promise<void> {
    if (!this.#isConnected) await cutSecondNode(false);
    this.#isConnected = true;
  }

  /** The node is gone as in a power cut. Its cable is cut first, so that the kernel takes no leave of the peers of open connections. */
  async vanish(): Promise<void> {
    await this.cutOff();
    await killSecondNode();
  }

  /** Removes the node from this machine and from the cluster, with its pods; also after `vanish`. */
  async end(): Promise<void> {
    await removeSecondNode();
    const kube = adminKube();
    const path = `/api/v1/pods?fieldSelector=spec.nodeName%3D${this.name}`;
    const { items } = await kube<{ items: Named[] }>({ method: "GET", path });
    // No kubelet is left that could confirm the end of a pod.
    const body = { gracePeriodSeconds: 0 };
    for (const { metadata } of items) {
      const pod = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
      await undefinedIfNotFound(kube({ method: "DELETE", path: pod, body }));
    }
    await undefinedIfNotFound(kube({ method: "DELETE", path: `/api/v1/nodes/${this.name}` }));
  }
}

/**
 * The kubelet is the node's user by impersonation, with a node's rights and no others. The API server reads its own tokens only when it
 * starts, and a cluster without the second node needs no token for it.
 */
async function writeKubeconfig(): Promise<void> {
  const config = JSON.parse(await readFile(kubeconfig, "utf8")) as { users: { user: object }[] };
  const identity = { as: `system:node:${secondNode.name}`, "as-groups": ["system:nodes"] };
  for (const one of config.users) one.user = { ...one.user, ...identity };
  await writeFile(secondNode.kubeconfig, JSON.stringify(config), { mode: 0o600 });
}
