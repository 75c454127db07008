// A real Kubernetes on this machine: etcd, the control plane, and one node with containerd, kubelet and kube-proxy.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, copyFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Kube } from "../../helper/kube.ts";
import { docker, importImage } from "./docker.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { binaries, bridge, containerdSocket, home, kubeconfig, ports, serviceRange, url } from "./machine.ts";
import { isRunning, run, startBackground, untilReady } from "./process.ts";

export const node = "ecr-helper-node";
const pki = join(home, "pki");
const certificate = join(pki, "apiserver.crt");
const cniConfig = join(home, "cni");
const pauseImage = "docker.io/library/ecr-helper-pause:1";

/** Who the components are to the API server: user name and groups, as its token file wants them. */
const identities = {
  admin: ["admin", "system:masters"],
  "kube-controller-manager": ["system:kube-controller-manager", ""],
  "kube-scheduler": ["system:kube-scheduler", ""],
  "kube-proxy": ["system:kube-proxy", ""],
  kubelet: [`system:node:${node}`, "system:nodes"],
} as const;

type Identity = keyof typeof identities;

const kubeconfigOf = (identity: Identity): string =>
  identity === "admin" ? kubeconfig : join(pki, `${identity}.json`);

/** Starts whatever of the cluster does not run and waits until the node is ready. */
export async function startCluster(programs: { kubernetes: string; pause: string }): Promise<void> {
  const { kubernetes } = programs;
  await mkdir(binaries, { recursive: true });
  await writeFile(join(binaries, "kubectl"), `#!/bin/sh\nexec ${kubernetes} kubectl "$@"\n`, { mode: 0o755 });
  if (!existsSync(kubeconfig)) await writeIdentities();
  const component = (name: string, args: readonly string[]): void =>
    startBackground({ name, command: kubernetes, args: [name, ...args] });

  startContainerd();
  component("etcd", etcdArgs());
  component("kube-apiserver", apiServerArgs());
  await untilReady("kube-apiserver", apiServerReady);
  component("kube-controller-manager", controllerManagerArgs());
  component("kube-scheduler", [
    "--kubeconfig",
    kubeconfigOf("kube-scheduler"),
    "--leader-elect=false",
    "--secure-port=0",
  ]);
  component("kube-proxy", ["--config", await writeJson("kube-proxy-config.json", kubeProxyConfig())]);
  await untilReady("containerd", containerdReady);
  await importPause(programs.pause);
  await writeJson("cni/10-bridge.conflist", cniNetwork());
  const config = await writeJson("kubelet-config.json", kubeletConfig());
  const names = ["--hostname-override", node, "--node-ip", bridge.address, "--root-dir", join(home, "kubelet")];
  component("kubelet", ["--config", config, "--kubeconfig", kubeconfigOf("kubelet"), ...names]);
  await untilReady("kubelet", nodeReady, 120_000);
}

async function writeIdentities(): Promise<void> {
  await mkdir(pki, { recursive: true, mode: 0o700 });
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await writeFile(join(pki, "sa.key"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  await writeFile(join(pki, "sa.pub"), publicKey.export({ type: "spki", format: "pem" }));
  const lines: string[] = [];
  for (const [identity, [user, group]] of Object.entries(identities) as [Identity, readonly [string, string]][]) {
    const token = randomBytes(32).toString("hex");
    lines.push(`${token},${user},${user},"${group}"`);
    await writeFile(kubeconfigOf(identity), JSON.stringify(kubeconfigFor(token), undefined, 2), { mode: 0o600 });
  }
  await writeFile(join(pki, "tokens.csv"), lines.join("\n"), { mode: 0o600 });
  // The API server is nobody to the kubelet without a certificate: tokens it can only check with the API server itself.
  const files = ["-keyout", join(pki, "kubelet-client.key"), "-out", join(pki, "kubelet-client.crt")];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"];
  await run("openssl", ["req", "-x509", ...key, "-subj", "/O=system:masters/CN=kube-apiserver", ...files]);
}

const kubeconfigFor = (token: string): object => ({
  apiVersion: "v1",
  kind: "Config",
  clusters: [
    { name: "local", cluster: { server: url(ports.apiServer, "https"), "certificate-authority": certificate } },
  ],
  users: [{ name: "local", user: { token } }],
  contexts: [{ name: "local", context: { cluster: "local", user: "local" } }],
  "current-context": "local",
});

async function writeJson(name: string, content: object): Promise<string> {
  const file = join(home, name);
  await mkdir(join(file, ".."), { recursive: true });
  await writeFile(file, JSON.stringify(content, undefined, 2));
  return file;
}

const etcdArgs = (): string[] => [
  `--data-dir=${join(home, "etcd")}`,
  `--listen-client-urls=${url(ports.etcd)}`,
  `--advertise-client-urls=${url(ports.etcd)}`,
  `--listen-peer-urls=${url(ports.etcdPeer)}`,
  `--initial-advertise-peer-urls=${url(ports.etcdPeer)}`,
  `--initial-cluster=default=${url(ports.etcdPeer)}`,
];

const apiServerArgs = (): string[] => [
  `--etcd-servers=${url(ports.etcd)}`,
  `--bind-address=${ports.apiServer.address}`,
  `--advertise-address=${ports.apiServer.address}`,
  `--secure-port=${String(ports.apiServer.port)}`,
  // Without a given certificate it makes its own, for its address and the service's, and signs it by itself.
  `--cert-dir=${pki}`,
  `--service-cluster-ip-range=${serviceRange}`,
  `--token-auth-file=${join(pki, "tokens.csv")}`,
  "--authorization-mode=Node,RBAC",
  "--enable-admission-plugins=NodeRestriction",
  "--service-account-issuer=https://kubernetes.default.svc",
  `--service-account-key-file=${join(pki, "sa.pub")}`,
  `--service-account-signing-key-file=${join(pki, "sa.key")}`,
  `--kubelet-client-certificate=${join(pki, "kubelet-client.crt")}`,
  `--kubelet-client-key=${join(pki, "kubelet-client.key")}`,
  "--kubelet-preferred-address-types=InternalIP",
];

const controllerManagerArgs = (): string[] => [
  `--kubeconfig=${kubeconfigOf("kube-controller-manager")}`,
  `--root-ca-file=${certificate}`,
  `--service-account-private-key-file=${join(pki, "sa.key")}`,
  "--use-service-account-credentials=true",
  "--leader-elect=false",
  "--secure-port=0",
];

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
  // Zero leaves the machine's own settings of connection tracking alone.
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
    x509: { clientCAFile: join(pki, "kubelet-client.crt") },
  },
  authorization: { mode: "Webhook" },
  cgroupDriver: "cgroupfs",
  // Pods are limited each by its own cgroup; the kubelet's hierarchy for the whole node would outlive it.
  cgroupsPerQOS: false,
  enforceNodeAllocatable: [],
  failCgroupV1: false,
  failSwapOn: false,
  makeIPTablesUtilChains: false,
  // A developer's disk may be full; that is no reason to evict the pods of a throw-away cluster.
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

function startContainerd(): void {
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
  stream_server_address = "${bridge.address}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${cniConfig}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;
  const file = join(home, "containerd.toml");
  if (!isRunning("containerd")) writeFileSync(file, config);
  startBackground({ name: "containerd", command: "containerd", args: ["--config", file] });
}

const ctr = async (...args: string[]): Promise<string> =>
  run("ctr", ["--address", containerdSocket, "--namespace", "k8s.io", ...args]);

const containerdReady = async (): Promise<true | undefined> =>
  ctr("version").then(
    () => true as const,
    () => undefined,
  );

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

/** Calls the API server as the cluster's administrator. */
export const adminKube = (): Kube => connect(readKubeconfig(kubeconfig));

async function apiServerReady(): Promise<true | undefined> {
  if (!existsSync(certificate)) return undefined;
  const kube = adminKube();
  // Roles are made a moment after the server listens; without them no component may do anything.
  const ready = kube({ method: "GET", path: "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:basic-user" });
  return ready.then(
    () => true as const,
    () => undefined,
  );
}

interface Node {
  status: { conditions?: { type: string; status: string }[] };
}

async function nodeReady(): Promise<true | undefined> {
  const found = await adminKube()<Node>({ method: "GET", path: `/api/v1/nodes/${node}` }).catch(() => undefined);
  return found?.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true
    ? true
    : undefined;
}
