// The one node of the local cloud's Kubernetes: kubelet and kube-proxy on the machine itself, pods in its containerd.
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { kubeconfigOf, kubeletClientCertificate, node } from "./component-identities.ts";
import { adminKube, startComponent } from "./control-plane.ts";
import { cniConfig, ctr, pauseImage } from "./containerd.ts";
import { docker, importImage } from "./docker.ts";
import { bridge, containerdSocket, home, ports } from "./settings.ts";
import { waitUntilReady } from "./process.ts";

/** Starts the node's components that are not running, and waits until the node is ready. The arguments are paths of programs. */
export async function startNode({ kubernetes, pause }: { kubernetes: string; pause: string }): Promise<void> {
  await importPause(pause);
  startComponent(kubernetes, "kube-proxy", ["--config", await writeJson("kube-proxy-config.json", kubeProxyConfig())]);
  await writeJson(join(cniConfig, "10-bridge.conflist"), cniNetwork());
  const config = await writeJson("kubelet-config.json", kubeletConfig());
  const names = ["--hostname-override", node, "--node-ip", bridge.address, "--root-dir", join(home, "kubelet")];
  startComponent(kubernetes, "kubelet", ["--config", config, "--kubeconfig", kubeconfigOf("kubelet"), ...names]);
  await waitUntilReady("kubelet", nodeReady, 120_000);
}

async function writeJson(name: string, content: object): Promise<string> {
  const file = resolve(home, name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify(content, undefined, 2));
  return file;
}

const kubeProxyConfig = (): object => ({
  apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
  kind: "KubeProxyConfiguration",
  clientConnection: { kubeconfig: kubeconfigOf("kube-proxy") },
  mode: "iptables",
  hostnameOverride: node,
  clusterCIDR: bridge.podRange,
  healthzBindAddress: `${ports.kubeProxyHealth.address}:${String(ports.kubeProxyHealth.port)}`,
  metricsBindAddress: `${ports.kubeProxyMetrics.address}:${String(ports.kubeProxyMetrics.port)}`,
  iptables: { localhostNodePorts: false },
  // Zero keeps the machine's settings of connection tracking.
  conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
});

const kubeletConfig = (): object => ({
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  address: ports.kubelet.address,
  port: ports.kubelet.port,
  healthzPort: 0,
  readOnlyPort: 0,
  containerRuntimeEndpoint: `unix://${containerdSocket}`,
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: true },
    x509: { clientCAFile: kubeletClientCertificate },
  },
  authorization: { mode: "Webhook" },
  cgroupDriver: "cgroupfs",
  // Each pod is limited by its own cgroup. The kubelet's cgroup hierarchy for the whole node would outlive the cloud.
  cgroupsPerQOS: false,
  enforceNodeAllocatable: [],
  failCgroupV1: false,
  failSwapOn: false,
  makeIPTablesUtilChains: false,
  // A developer's disk may be nearly full, which must not evict pods.
  evictionHard: {
    "nodefs.available": "0%",
    "imagefs.available": "0%",
    "memory.available": "0%",
    "nodefs.inodesFree": "0%",
  },
  imageGCHighThresholdPercent: 100,
  nodeStatusUpdateFrequency: "4s",
  podLogsDir: join(home, "pod-logs"),
  registerNode: true,
  resolvConf: "",
});

const cniNetwork = (): object => ({
  cniVersion: "0.4.0",
  name: "ecr-helper",
  plugins: [
    {
      type: "bridge",
      bridge: bridge.name,
      isGateway: true,
      ipMasq: false,
      ipam: {
        type: "host-local",
        dataDir: join(home, "cni-addresses"),
        ranges: [[{ subnet: bridge.podRange, gateway: bridge.address }]],
        routes: [{ dst: "0.0.0.0/0" }],
      },
    },
  ],
});

async function importPause(pause: string): Promise<void> {
  if ((await ctr("images", "list", "--quiet")).includes(pauseImage)) return;
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-pause-"));
  try {
    await copyFile(pause, join(folder, "pause"));
    await importImage(folder, pauseImage, ['ENTRYPOINT ["/pause"]', "USER 65535"]);
    await docker(["save", "--output", `${folder}.image`, pauseImage]);
    await ctr("images", "import", `${folder}.image`);
    await docker(["image", "rm", pauseImage]);
  } finally {
    await rm(folder, { recursive: true });
    await rm(`${folder}.image`, { force: true });
  }
}

interface Node {
  status: { conditions?: { type: string; status: string }[] };
}

async function nodeReady(): Promise<boolean> {
  const found = await adminKube()<Node>({ method: "GET", path: `/api/v1/nodes/${node}` }).catch(() => undefined);
  const conditions = found?.status.conditions ?? [];
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}
