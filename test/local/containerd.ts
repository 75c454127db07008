// The containerd of a node. Its kubelet runs its pods in it, and the local cloud's own Docker engine, if any, uses the first node's, too.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ctrOn, firstNode, onNode, type NodeSettings } from "./node-settings.ts";
import { account, fipsHost, loopback, otherAccount, ports, registryHost, url } from "./settings.ts";
import { isRunning, startBackground, succeeds, waitUntilReady } from "./process.ts";

/** The folder with the network configuration of a node's pods. */
export const cniConfigOf = ({ folder }: NodeSettings): string => join(folder, "cni");
/** The folder that tells a node's containerd which host serves the images of a registry. */
const mirrorsOf = ({ folder }: NodeSettings): string => join(folder, "registries");
/** The image of the container that holds a pod's namespaces open. */
export const pauseImage = "docker.io/library/ecr-helper-pause:1";

/** Starts a node's containerd unless it is running, and waits until it responds. */
export async function startContainerd(node: NodeSettings): Promise<void> {
  const name = node.processes.containerd;
  const file = join(node.folder, "containerd.toml");
  if (!isRunning(name)) {
    writeFileSync(file, configOf(node));
    writeMirrors(node);
  }
  startBackground({ name, ...onNode(node, "containerd", ["--config", file]) });
  await waitUntilReady(name, async () => succeeds(ctrOn(node, "version")));
}

const configOf = (node: NodeSettings): string => `
version = 2
root = "${join(node.folder, "containerd")}"
state = "${join(node.folder, "containerd-run")}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "${node.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "${loopback}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${mirrorsOf(node)}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${cniConfigOf(node)}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "${join(node.folder, "runc")}"
`;

/** Redirects the local registry, and hosts that both accounts' registries have in AWS, to where the node reaches the local registry. */
function writeMirrors(node: NodeSettings): void {
  const local = `${ports.registry.address}:${String(ports.registry.port)}`;
  for (const host of [local, registryHost(account), registryHost(otherAccount), fipsHost(otherAccount)]) {
    const folder = join(mirrorsOf(node), host);
    mkdirSync(folder, { recursive: true });
    const hosts = `[host."${url(node.registry)}"]\n  capabilities = ["pull", "resolve"]\n`;
    writeFileSync(join(folder, "hosts.toml"), hosts);
  }
}

/** Runs ctr, containerd's command, on the first node. Returns its standard output. */
export const ctr = async (...args: string[]): Promise<string> => ctrOn(firstNode, ...args);
