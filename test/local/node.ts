// A node of the local cloud's Kubernetes: a kubelet, and the network of its pods.
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { kubeconfigOf, kubeletClientCertificate } from "./component-identities.ts";
import { adminKube, startComponent } from "./control-plane.ts";
import { cniConfigOf, pauseImage } from "./containerd.ts";
import { docker, importImage } from "./docker.ts";
import { ctrOn, firstNode, onNode, type NodeSettings } from "./node-settings.ts";
import { bridge, ports } from "./settings.ts";
import { startBackground, waitUntilReady } from "./process.ts";

/** The paths of the programs that a node needs. */
export interface NodePrograms {
  readonly kubernetes: string;
  readonly pause: string;
}

/** Starts kube-proxy and a node's kubelet unless they are running, and waits until the node is ready. Its containerd has to be running. */
export async function startNode(node: NodeSettings, { kubernetes, pause }: NodePrograms): Promise<void> {
  await importPause(node, pause);
  // One kube-proxy suffices: the pods of the second node reach services through this machine, whose rules redirect them.
  const proxyConfig = await writeJson(join(firstNode.folder, "kube-proxy-config.json"), kubeProxyConfig());
  startComponent(kubernetes, "kube-proxy", ["--config", proxyConfig]);
  await writeJson(join(cniConfigOf(node), "10-bridge.conflist"), cniNetwork(node));
  const config = await writeJson(join(node.folder, "kubelet-config.json"), kubeletConfig(node));
  const folder = join(node.folder, "kubelet");
  const folders = ["--root-dir", folder, "--cert-dir", join(folder, "pki")];
  const names = ["--hostname-override", node.name, "--node-ip", node.address, "--kubeconfig", node.kubeconfig];
  const args = ["kubelet", "--config", config, ...names, ...folders];
  startBackground({ name: node.processes.kubelet, ...onNode(node, kubernetes, args) });
  await waitUntilReady(node.processes.kubelet, async () => isReady(node), 120_000);
}

async function writeJson(name: string, content: object): Promise<string> {
  const file = resolve(name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify(content, undefined, 2));
  return file;
}

const kubeProxyConfig = (): object => ({
  apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
  kind: "KubeProxyConfiguration",
  clientConnection: { kubeconfig: kubeconfigOf("kube-proxy") },
  mode: "iptables",
  hostnameOverride: firstNode.name,
  clusterCIDR: bridge.podRange,
  healthzBindAddress: `${ports.kubeProxyHealth.address}:${String(ports.kubeProxyHealth.port)}`,
  metricsBindAddress: `${ports.kubeProxyMetrics.address}:${String(ports.kubeProxyMetrics.port)}`,
  iptables: { localhostNodePorts: false },
  // Zero keeps the machine's settings of connection tracking.
  conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
});

const kubeletConfig = (node: NodeSettings): object => ({
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  address: node.address,
  port: ports.kubelet.port,
  healthzPort: 0,
  readOnlyPort: 0,
  containerRuntimeEndpoint: `unix://${node.socket}`,
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
  podLogsDir: join(node.folder, "pod-logs"),
  registerNode: true,
  resolvConf: "",
});

const cniNetwork = ({ folder, pods }: NodeSettings): object => ({
  cniVersion: "0.4.0",
  name: pods.network,
  plugins: [
    {
      type: "bridge",
      bridge: pods.bridge,
      isGateway: true,
      ipMasq: false,
      ipam: {
        type: "host-local",
        dataDir: join(folder, "cni-addresses"),
        ranges: [[{ subnet: pods.range, gateway: pods.gateway }]],
        routes: [{ dst: "0.0.0.0/0" }],
      },
    },
  ],
});

async function importPause(node: NodeSettings, pause: string): Promise<void> {
  if ((await ctrOn(node, "images", "list", "--quiet")).includes(pauseImage)) return;
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-pause-"));
  try {
    await copyFile(pause, join(folder, "pause"));
    await importImage(folder, pauseImage, ['ENTRYPOINT ["/pause"]', "USER 65535"]);
    await docker(["save", "--output", `${folder}.image`, pauseImage]);
    await ctrOn(node, "images", "import", `${folder}.image`);
    await docker(["image", "rm", pauseImage]);
  } finally {
    await rm(folder, { recursive: true });
    await rm(`${folder}.image`, { force: true });
  }
}

interface Node {
  status: { conditions?: { type: string; status: string }[] };
}

async function isReady({ name }: NodeSettings): Promise<boolean> {
  const found = await adminKube()<Node>({ method: "GET", path: `/api/v1/nodes/${name}` }).catch(() => undefined);
  const conditions = found?.status.conditions ?? [];
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}
