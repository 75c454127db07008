// Where the local cloud lives on this machine, and the addresses it uses. One local cloud per machine: nothing here
// depends on the checkout, so that a second checkout finds the cloud a first one started.
import { homedir } from "node:os";
import { join } from "node:path";

/** Everything that exists while the cloud runs: data, logs, sockets, mounts, stack states. Removed by `down`. */
export const home = "/var/lib/ecr-helper";

/** What is built once and kept: the Kubernetes binary, the emulator's virtual environment. Safe to delete at any time. */
export const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "ecr-helper");

/** Services that pods must reach listen here; the bridge is the cloud's own, so its ports are free but for 0.0.0.0. */
export const bridge = { name: "ecr-helper0", address: "10.214.0.1", podRange: "10.214.0.0/24" };

/** Services that pods must not reach listen here: an address of loopback that nothing else uses. */
export const loopback = "127.77.77.1";

export const serviceRange = "10.215.0.0/24";

/** Every port the cloud listens on, by the part that does. */
export const ports = {
  gateway: { address: bridge.address, port: 4566 },
  registry: { address: loopback, port: 5000 },
  emulator: { address: loopback, port: 4566 },
  etcd: { address: loopback, port: 2379 },
  etcdPeer: { address: loopback, port: 2380 },
  apiServer: { address: bridge.address, port: 6443 },
  authenticator: { address: loopback, port: 8443 },
  nodeAgents: { address: bridge.address, port: 8170 },
  kubelet: { address: bridge.address, port: 10250 },
  kubeProxyHealth: { address: loopback, port: 10256 },
  kubeProxyMetrics: { address: loopback, port: 10249 },
} as const;

export type Endpoint = { address: string; port: number };

export const url = (endpoint: Endpoint, scheme = "http"): string =>
  `${scheme}://${endpoint.address}:${String(endpoint.port)}`;

/** Where pods find the agents of an EKS node: EKS Pod Identity's, and the instance metadata service. */
export const agentAddresses = ["169.254.170.23", "169.254.169.254"];

/** The cluster's name in EKS, and the role of its node. */
export const cluster = "ecr-helper";
export const nodeRole = "ecr-helper-node";
export const roleArn = (name: string): string => `arn:aws:iam::${account}:role/${name}`;
/** Who signs the tokens of its service accounts. */
export const issuer = "https://kubernetes.default.svc";

export const pki = join(home, "pki");
/** The API server's certificate. */
export const certificate = join(pki, "apiserver.crt");
/** The public key of its service accounts' tokens. */
export const serviceAccountKey = join(pki, "sa.pub");
export const authenticatorCertificate = { file: join(pki, "authenticator.crt"), key: join(pki, "authenticator.key") };

/** Where the pulumi command keeps the states of the stacks. */
export const backend = join(home, "pulumi");
export const kubeconfig = join(home, "kubeconfig");
export const dockerSocket = join(home, "docker.sock");
export const containerdSocket = join(home, "containerd.sock");
export const binaries = join(home, "bin");
export const logs = join(home, "logs");

/** The key of the emulator's root, as AWS' clients read it (root-key.ts). */
export const awsCredentials = join(home, "aws-credentials");

/** How AWS' clients find the emulator, and its root's key. */
export const aws = {
  AWS_ENDPOINT_URL: url(ports.gateway),
  AWS_REGION: "us-east-1",
  /** What the AWS command line reads instead. */
  AWS_DEFAULT_REGION: "us-east-1",
  AWS_SHARED_CREDENTIALS_FILE: awsCredentials,
  // Not what this machine's user has for AWS itself.
  AWS_CONFIG_FILE: awsCredentials,
  AWS_ACCESS_KEY_ID: "",
  AWS_SECRET_ACCESS_KEY: "",
  AWS_SESSION_TOKEN: "",
};
export const account = "123456789012";
/** Somebody else's account. */
export const otherAccount = "210987654321";
/** Where an account's registry is in AWS; in the local cloud's region by default. */
export const registryHost = (of: string, region: string = aws.AWS_REGION): string =>
  `${of}.dkr.ecr.${region}.amazonaws.com`;
