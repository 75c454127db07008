// The Kubernetes provider of the cluster that the configuration names, and of no other.
import { getClusterOutput } from "@pulumi/aws/eks/getCluster.js";
import { Provider } from "@pulumi/kubernetes/provider.js";
import * as pulumi from "@pulumi/pulumi";
import type { ClusterConfig } from "./config.ts";

export function clusterProvider(config: ClusterConfig): Provider {
  if ("eksCluster" in config) return new Provider("cluster", { kubeconfig: eksKubeconfig(config.eksCluster) });
  const { kubeconfig, context } = config;
  return new Provider("cluster", {
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
  });
}

/** A kubeconfig whose token is made by the AWS command line at every use: it holds no secret and does not age. */
function eksKubeconfig(name: string): pulumi.Output<string> {
  const cluster = getClusterOutput({ name });
  const server = cluster.endpoint;
  const ca = cluster.certificateAuthorities.apply(([authority]) => authority?.data ?? "");
  const exec = {
    apiVersion: "client.authentication.k8s.io/v1beta1",
    command: "aws",
    args: ["eks", "get-token", "--cluster-name", name, "--region", cluster.region],
  };
  return pulumi.jsonStringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server, "certificate-authority-data": ca } }],
    users: [{ name, user: { exec } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  });
}
