// The containerd of the local cloud. The kubelet runs its pods in it, and the local cloud's own Docker engine, if any, uses it, too.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { account, containerdSocket, home, loopback, otherAccount, ports, registryHost, url } from "./settings.ts";
import { isRunning, run, startBackground, succeeds, waitUntilReady } from "./process.ts";

/** The folder with the network configuration of pods. */
export const cniConfig = join(home, "cni");
/** The folder that tells containerd which host serves the images of a registry. */
const mirrors = join(home, "registries");
/** The image of the container that holds a pod's namespaces open. */
export const pauseImage = "docker.io/library/ecr-helper-pause:1";

/** Starts containerd unless it is running, and waits until it responds. */
export async function startContainerd(): Promise<void> {
  const config = `
version = 2
root = "${join(home, "containerd")}"
state = "${join(home, "containerd-run")}"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "${containerdSocket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "${loopback}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${mirrors}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${cniConfig}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;
  const file = join(home, "containerd.toml");
  if (!isRunning("containerd")) {
    writeFileSync(file, config);
    writeMirrors();
  }
  startBackground({ name: "containerd", command: "containerd", args: ["--config", file] });
  await waitUntilReady("containerd", answers);
}

/** Redirects the registry hosts that both accounts have in AWS to the local registry. */
function writeMirrors(): void {
  const local = `${ports.registry.address}:${String(ports.registry.port)}`;
  for (const host of [local, registryHost(account), registryHost(otherAccount)]) {
    mkdirSync(join(mirrors, host), { recursive: true });
    const hosts = `[host."${url(ports.registry)}"]\n  capabilities = ["pull", "resolve"]\n`;
    writeFileSync(join(mirrors, host, "hosts.toml"), hosts);
  }
}

/** Runs ctr, containerd's command, in the namespace of Kubernetes. Returns its standard output. */
export const ctr = async (...args: string[]): Promise<string> =>
  run("ctr", ["--address", containerdSocket, "--namespace", "k8s.io", ...args]);

const answers = async (): Promise<boolean> => succeeds(ctr("version"));
