// What the helper's pod may reach in the network, and who may reach it.
import type { input } from "@pulumi/kubernetes/types/index.js";
import type { EksCluster } from "./cluster.ts";
import type { StackConfig } from "./config/stack.ts";
import { podIdentityAgent } from "./pod-credentials.ts";

type EgressRule = input.networking.v1.NetworkPolicyEgressRule;

const tcp = (...ports: number[]): { protocol: string; port: number }[] =>
  ports.map((port) => ({ protocol: "TCP", port }));
const only = (address: string, ...ports: number[]): EgressRule => ({
  to: [{ ipBlock: { cidr: `${address}/${address.includes(":") ? "128" : "32"}` } }],
  ports: tcp(...ports),
});

/** Of EC2: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html */
const metadataService = "169.254.169.254";
/** Where the agents of kube2iam and kiam listen on each node. They redirect to it what is meant for the metadata service. */
const agentPort = 8181;
/**
 * Of the API server: a service's port as the pod sees it, and the one behind it, which is what the policy is compared with
 * where the address was translated before (Calico).
 */
const apiServer = [443, 6443];

type NetworkConfig = Pick<
  StackConfig,
  "networkPolicy" | "monitoringNamespaces" | "identity" | "awsEndpointUrl" | "stsEndpointUrl"
>;

/**
 * Nothing comes in but to `port`, and from pods: those of the monitoring namespaces, or of any where none is named. The pod's
 * own node, which probes it, always may: https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
export function networkPolicySpec(
  config: NetworkConfig,
  eks: EksCluster | undefined,
  podLabels: Readonly<Record<string, string>>,
  port: number,
): input.networking.v1.NetworkPolicySpec {
  const isNamed = { key: "kubernetes.io/metadata.name", operator: "In", values: [...config.monitoringNamespaces] };
  const namespaceSelector = isNamed.values.length === 0 ? {} : { matchExpressions: [isNamed] };
  const ingress = [{ from: [{ namespaceSelector }], ports: tcp(port) }];
  const podSelector = { matchLabels: podLabels };
  return config.networkPolicy === "all"
    ? { podSelector, policyTypes: ["Ingress", "Egress"], ingress, egress: egressRules(config, eks) }
    : { podSelector, policyTypes: ["Ingress"], ingress };
}

/**
 * Nothing goes out but to DNS, the API server, AWS, and what gives the identity its credentials. Where an address is not known
 * the rule has none, and no block of all addresses instead: to Cilium nodes and the API server are in no block.
 */
function egressRules(
  { identity, awsEndpointUrl, stsEndpointUrl }: NetworkConfig,
  eks: EksCluster | undefined,
): EgressRule[] {
  const endpoints = [awsEndpointUrl, stsEndpointUrl].filter((url) => url !== undefined).map(portOf);
  const credentials: Readonly<Partial<Record<typeof identity.mode, EgressRule[]>>> = {
    podIdentity: [only(podIdentityAgent(eks), 80)],
    kube2iam: [only(metadataService, 80), { ports: tcp(agentPort) }],
    node: [only(metadataService, 80)],
  };
  return [
    { ports: [{ protocol: "UDP", port: 53 }, ...tcp(53)] },
    { ports: tcp(...new Set([...apiServer, ...endpoints])) },
    ...(credentials[identity.mode] ?? []),
  ];
}

function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  if (port !== "") return Number(port);
  return protocol === "http:" ? 80 : 443;
}
