// The Kubernetes provider of the cluster that the configuration names, and of no other.
import { getCluster } from "@pulumi/aws/eks/getCluster.js";
import { Namespace } from "@pulumi/kubernetes/core/v1/namespace.js";
import { Provider, type ProviderArgs } from "@pulumi/kubernetes/provider.js";
import * as pulumi from "@pulumi/pulumi";
import { firstLine } from "../helper/shared/messages.ts";
import { isContent, type ClusterConfig } from "./config/cluster.ts";

/** What EKS says of a cluster. */
export interface EksCluster {
  readonly name: string;
  readonly arn: string;
  readonly region: string;
  /** URL of the API server. */
  readonly endpoint: string;
  /** Its certificate authority, base64 of PEM. */
  readonly certificateAuthority: string;
  /** URL of the issuer of its tokens; empty where it has none. */
  readonly issuer: string;
  readonly isIpv6: boolean;
}

/** Looks up the EKS cluster that the configuration names, if it names one. Rejects where EKS does not have it. */
export async function findEksCluster(config: ClusterConfig): Promise<EksCluster | undefined> {
  if (!("eksCluster" in config)) return undefined;
  const name = config.eksCluster;
  const found = await getCluster({ name }).catch((error: unknown) => {
    const expected = "the name of an EKS cluster that these AWS credentials can see in the stack's region (aws:region)";
    throw new pulumi.RunError(
      `ecr-helper:eksCluster = ${JSON.stringify(name)}: expected ${expected}. Nothing was changed. (${firstLine(error)})`,
    );
  });
  return {
    name,
    arn: found.arn,
    region: found.region,
    endpoint: found.endpoint,
    certificateAuthority: found.certificateAuthorities[0]?.data ?? "",
    issuer: found.identities[0]?.oidcs[0]?.issuer ?? "",
    isIpv6: found.kubernetesNetworkConfigs[0]?.ipFamily === "ipv6",
  };
}

/** The providers of one cluster. */
export interface ClusterProviders {
  readonly objects: Provider;
  /** Of patches of objects, which Pulumi makes by server-side apply alone. */
  readonly patches: Provider;
}

/**
 * The providers of the cluster. Which cluster it is, is told by the uid of its namespace kube-system, by whatever address,
 * context or credentials it is reached: another way to the same cluster replaces nothing, another cluster everything.
 */
export function clusterProviders(config: ClusterConfig, eks: EksCluster | undefined): ClusterProviders {
  const access = accessOf(config, eks);
  const lookup = new Provider("cluster-identity", access);
  const system = Namespace.get("kube-system", "kube-system", { provider: lookup });
  const identified = { ...access, clusterIdentifier: system.metadata.uid };
  return {
    // Else a rotated key would be another Secret of the same name, and all that uses the old one deleted before it.
    objects: new Provider("cluster", { ...identified, enableSecretMutable: true }),
    patches: new Provider("cluster-patches", { ...identified, enableServerSideApply: true }),
  };
}

function accessOf(config: ClusterConfig, eks: EksCluster | undefined): ProviderArgs {
  if (eks !== undefined) return { kubeconfig: eksKubeconfig(eks) };
  const { kubeconfig, context } = "kubeconfig" in config ? config : {};
  return {
    ...(kubeconfig === undefined ? {} : { kubeconfig: isContent(kubeconfig) ? pulumi.secret(kubeconfig) : kubeconfig }),
    ...(context === undefined ? {} : { context }),
  };
}

/** A kubeconfig whose token is made by the AWS command line at every use: it holds no secret and does not age. */
function eksKubeconfig({ name, region, endpoint, certificateAuthority }: EksCluster): string {
  const exec = {
    apiVersion: "client.authentication.k8s.io/v1beta1",
    command: "aws",
    args: ["eks", "get-token", "--cluster-name", name, "--region", region],
  };
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server: endpoint, "certificate-authority-data": certificateAuthority } }],
    users: [{ name, user: { exec } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  });
}
