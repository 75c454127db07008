// The nodes of the local cloud's Kubernetes: the one that every cloud has, and a second one that tests start (second-node.ts).
import { join } from "node:path";
import { kubeconfigOf, node } from "./component-identities.ts";
import { run } from "./process.ts";
import { bridge, containerdSocket, home, ports, secondNetwork, type Endpoint } from "./settings.ts";

/** What distinguishes one node from the other. */
export interface NodeSettings {
  /** The name of its Node object. */
  readonly name: string;
  /** The names of its background processes. */
  readonly processes: { readonly containerd: string; readonly kubelet: string };
  /** The folder of all files, sockets and mounts of its kubelet and its containerd. */
  readonly folder: string;
  /** The socket of its containerd. */
  readonly socket: string;
  readonly kubeconfig: string;
  /** The address of its kubelet. */
  readonly address: string;
  /** The network of its pods, as the bridge plugin takes it. */
  readonly pods: {
    readonly network: string;
    readonly bridge: string;
    readonly gateway: string;
    readonly range: string;
  };
  /** Where its containerd reaches the registry. */
  readonly registry: Endpoint;
  /** The command that runs a program in the node's network; empty where that is this machine's own. */
  readonly enter: readonly string[];
}

/** The node that every local cloud has: this machine itself. */
export const firstNode: NodeSettings = {
  name: node,
  processes: { containerd: "containerd", kubelet: "kubelet" },
  folder: home,
  socket: containerdSocket,
  kubeconfig: kubeconfigOf("kubelet"),
  address: bridge.address,
  pods: { network: "ecr-helper", bridge: bridge.name, gateway: bridge.address, range: bridge.podRange },
  registry: ports.registry,
  enter: [],
};

const secondFolder = join(home, "second-node");

/** The network namespace of the second node. */
export const secondNamespace = "ecr-helper-second";

/**
 * The second node. Its network is a namespace, so that it can lose its cable. Its files are in the mount namespace of this machine,
 * which is why it enters the network by nsenter: `ip netns exec` would hide the control groups from the kubelet.
 */
export const secondNode: NodeSettings = {
  name: "ecr-helper-second-node",
  processes: { containerd: "second-containerd", kubelet: "second-kubelet" },
  folder: secondFolder,
  socket: join(secondFolder, "containerd.sock"),
  kubeconfig: join(secondFolder, "kubeconfig.json"),
  address: secondNetwork.address,
  pods: {
    network: secondNetwork.interface,
    bridge: "pods",
    gateway: secondNetwork.podGateway,
    range: secondNetwork.podRange,
  },
  registry: { address: secondNetwork.gateway, port: ports.registry.port },
  enter: ["nsenter", `--net=/run/netns/${secondNamespace}`],
};

/** The command and arguments that run a program in a node's network. */
export function onNode(
  { enter }: NodeSettings,
  program: string,
  args: readonly string[],
): { command: string; args: string[] } {
  const [command = program, ...rest] = [...enter, program, ...args];
  return { command, args: rest };
}

/** Runs ctr, the command of a node's containerd, in the namespace of Kubernetes. Returns its standard output. */
export const ctrOn = async ({ socket }: NodeSettings, ...args: string[]): Promise<string> =>
  run("ctr", ["--address", socket, "--namespace", "k8s.io", ...args]);
