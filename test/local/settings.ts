// Paths, addresses and names of the local cloud. A machine has only one: nothing here depends on the checkout, so that a second
// checkout finds the cloud that the first one started.
import { homedir } from "node:os";
import { join } from "node:path";

/** Everything that exists while the cloud runs: data, logs, sockets, mounts, stack states. Removed by `down`. */
export const home = "/var/lib/ecr-helper";

/** The folder with what is built once, such as the Kubernetes binary. It can be deleted at any time. */
export const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "ecr-helper");

/** Services that pods must reach listen here. Only the cloud uses this bridge, so its ports are free unless 0.0.0.0 has them. */
export const bridge = { name: "ecr-helper0", address: "10.214.0.1", podRange: "10.214.0.0/24" };

/**
 * The network of the second node that tests start: a cable from this machine's `interface`, with the address `gateway`, to the node.
 * `range` has the cable and the node's pods.
 */
export const secondNetwork = {
  interface: "ecr-helper1",
  range: "10.214.1.0/24",
  gateway: "10.214.1.1",
  address: "10.214.1.2",
  podGateway: "10.214.1.129",
  podRange: "10.214.1.128/25",
};

/** Services that pods must not reach listen here, on an address of loopback that nothing else uses. */
export const loopback = "127.77.77.1";

/** The range of the addresses of Kubernetes services. */
export const serviceRange = "10.215.0.0/24";

/** Every address and port that the cloud listens on, by part. */
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

/** An IP address and a port. */
export type Endpoint = { address: string; port: number };

/** The URL of an endpoint, without a path. */
export const url = (endpoint: Endpoint, scheme = "http"): string =>
  `${scheme}://${endpoint.address}:${String(endpoint.port)}`;

/** The addresses of the agents of an EKS node: EKS Pod Identity's, and the instance metadata service. */
export const agentAddresses = ["169.254.170.23", "169.254.169.254"];

/** The cluster's name in EKS. */
export const cluster = "ecr-helper";
/** The name of the node's IAM role. */
export const nodeRole = "ecr-helper-node";
/** The ARN of a role of the local account. */
export const roleArn = (name: string): string => `arn:aws:iam::${account}:role/${name}`;
/** The issuer of the tokens of the cluster's service accounts. */
export const issuer = "https://kubernetes.default.svc";

/** The folder with keys, certificates and tokens of the control plane. */
export const pki = join(home, "pki");
/** The API server's certificate. */
export const certificate = join(pki, "apiserver.crt");
/** The public key that verifies tokens of service accounts. */
export const serviceAccountKey = join(pki, "sa.pub");
/** The TLS certificate and the private key of the authenticator of EKS. */
export const authenticatorCertificate = { file: join(pki, "authenticator.crt"), key: join(pki, "authenticator.key") };

/** The folder in which the pulumi command keeps the states of the stacks. */
export const backend = join(home, "pulumi");
/** The kubeconfig of the cluster's administrator. */
export const kubeconfig = join(home, "kubeconfig");
/** The socket of the cloud's own Docker engine. */
export const dockerSocket = join(home, "docker.sock");
/** The socket of containerd. */
export const containerdSocket = join(home, "containerd.sock");
/** The folder with the commands that `npm run env` puts on PATH. */
export const binaries = join(home, "bin");
/** The folder with the logs of all parts. */
export const logs = join(home, "logs");

/** The credentials file of AWS clients, with the key of the emulator's root (root-key.ts). */
export const awsCredentials = join(home, "aws-credentials");

/** The environment variables with which AWS clients use the gateway and the key of the emulator's root. */
export const aws = {
  AWS_ENDPOINT_URL: url(ports.gateway),
  AWS_REGION: "us-east-1",
  /** The AWS command line reads this one instead. */
  AWS_DEFAULT_REGION: "us-east-1",
  AWS_SHARED_CREDENTIALS_FILE: awsCredentials,
  // Overrides the user's own configuration for AWS.
  AWS_CONFIG_FILE: awsCredentials,
  AWS_ACCESS_KEY_ID: "",
  AWS_SECRET_ACCESS_KEY: "",
  AWS_SESSION_TOKEN: "",
};
/** The id of the local account. */
export const account = "123456789012";
/** The id of a second account, for access across accounts. */
export const otherAccount = "210987654321";
/** The host name of an account's registry in AWS, by default in the local cloud's region. */
export const registryHost = (of: string, region: string = aws.AWS_REGION): string =>
  `${of}.dkr.ecr.${region}.amazonaws.com`;
/** The FIPS host name of that registry. */
export const fipsHost = (of: string): string => registryHost(of).replace("dkr.ecr", "dkr.ecr-fips");
