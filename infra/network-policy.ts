// Restricts the network traffic of the helper's pod to what it needs.
import type { input } from "@pulumi/kubernetes/types/index.js";
import type { StackConfig } from "./config/stack.ts";
import type { AwsPrincipal } from "./identity.ts";
import { podIdentityAgent } from "./pod-credentials.ts";

type EgressRule = input.networking.v1.NetworkPolicyEgressRule;

const tcp = (...ports: number[]): { protocol: string; port: number }[] =>
  ports.map((port) => ({ protocol: "TCP", port }));
const toAddress = (address: string, ...ports: number[]): EgressRule => ({
  to: [{ ipBlock: { cidr: `${address}/${address.includes(":") ? "128" : "32"}` } }],
  ports: tcp(...ports),
});

/** The EC2 instance metadata service: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html */
const metadataService = "169.254.169.254";
/** The port of the kube2iam and kiam agents on each node, to which they redirect requests for the metadata service. */
const agentPort = 8181;
/**
 * Ports of the API server: the service's port, which the pod connects to, and the port behind it, which the policy is
 * compared with where the address is translated first (Calico).
 */
const apiServerPorts = [443, 6443];

type NetworkConfig = Pick<
  StackConfig,
  "networkPolicy" | "monitoringNamespaces" | "awsEndpointUrl" | "stsEndpointUrl" | "proxy"
>;

/**
 * The NetworkPolicy's spec. Ingress is limited to `port` and to pods of the monitoring namespaces, or of any namespace
 * if none is listed. The pod's own node, which probes it, is always allowed:
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
export function networkPolicySpec(
  config: NetworkConfig,
  principal: AwsPrincipal,
  podLabels: Readonly<Record<string, string>>,
  port: number,
): input.networking.v1.NetworkPolicySpec {
  const isListed = { key: "kubernetes.io/metadata.name", operator: "In", values: [...config.monitoringNamespaces] };
  const namespaceSelector = isListed.values.length === 0 ? {} : { matchExpressions: [isListed] };
  const ingress = [{ from: [{ namespaceSelector }], ports: tcp(port) }];
  const podSelector = { matchLabels: podLabels };
  return config.networkPolicy === "all"
    ? { podSelector, policyTypes: ["Ingress", "Egress"], ingress, egress: egressRules(config, principal) }
    : { podSelector, policyTypes: ["Ingress"], ingress };
}

/**
 * Egress is limited to DNS, the API server, AWS, the proxy, and the source of the identity's credentials. Where an address is not
 * known the rule names none, rather than a block of all addresses: in Cilium no block includes the nodes or the API
 * server.
 */
function egressRules({ awsEndpointUrl, stsEndpointUrl, proxy }: NetworkConfig, principal: AwsPrincipal): EgressRule[] {
  const endpoints = [awsEndpointUrl, stsEndpointUrl, proxy].filter((url) => url !== undefined).map(portOf);
  return [
    { ports: [{ protocol: "UDP", port: 53 }, ...tcp(53)] },
    { ports: tcp(...new Set([...apiServerPorts, ...endpoints])) },
    ...credentialRules(principal),
  ];
}

/** Where the AWS SDK gets the identity's credentials, other than from the pod itself and from STS. */
function credentialRules(principal: AwsPrincipal): EgressRule[] {
  switch (principal.mode) {
    case "podIdentity":
      return [toAddress(podIdentityAgent(principal.eks), 80)];
    case "kube2iam":
      return [toAddress(metadataService, 80), { ports: tcp(agentPort) }];
    case "node":
      return [toAddress(metadataService, 80)];
    case "accessKey":
    case "irsa":
      return [];
  }
}

function portOf(url: string): number {
  const { port, protocol } = new URL(url);
  if (port !== "") return Number(port);
  return protocol === "http:" ? 80 : 443;
}
