// The configured cluster: its lookup in EKS, and the Kubernetes providers for it.
import { getCluster } from "@pulumi/aws/eks/getCluster.js";
import { Namespace } from "@pulumi/kubernetes/core/v1/namespace.js";
import { Provider, type ProviderArgs } from "@pulumi/kubernetes/provider.js";
import * as pulumi from "@pulumi/pulumi";
import { firstLine } from "../helper/shared/messages.ts";
import { isContent, type ClusterConfig } from "./config/cluster.ts";
import { checkEksLogin, eksKubeconfig, type EksAddress } from "./eks-login.ts";

/** An EKS cluster, as EKS describes it. */
export interface EksCluster extends EksAddress {
  readonly arn: string;
  /** URL of the issuer of the cluster's tokens; empty if it has none. */
  readonly issuer: string;
  readonly isIpv6: boolean;
}

/**
 * Looks up the configured EKS cluster; undefined if the cluster is configured another way. Rejects with a RunError if
 * EKS has none, or if the AWS CLI cannot log in to it.
 */
export async function findEksCluster(config: ClusterConfig): Promise<EksCluster | undefined> {
  if (!("eksCluster" in config)) return undefined;
  const name = config.eksCluster;
  const found = await getCluster({ name }).catch((error: unknown) => {
    const expected = "the name of an EKS cluster that these AWS credentials can see in the stack's region (aws:region)";
    throw new pulumi.RunError(
      `ecr-helper:eksCluster = ${JSON.stringify(name)}: expected ${expected}. Nothing was changed. (${firstLine(error)})`,
    );
  });
  const eks = {
    name,
    arn: found.arn,
    region: found.region,
    endpoint: found.endpoint,
    certificateAuthority: found.certificateAuthorities[0]?.data ?? "",
    issuer: found.identities[0]?.oidcs[0]?.issuer ?? "",
    isIpv6: found.kubernetesNetworkConfigs[0]?.ipFamily === "ipv6",
  };
  await checkEksLogin(eks, config.login);
  return eks;
}

/** The Kubernetes providers of one cluster. */
export interface ClusterProviders {
  /** For whole objects. */
  readonly objects: Provider;
  /** For patches of objects, which Pulumi supports only with server-side apply. */
  readonly patches: Provider;
}

/**
 * The providers of the configured cluster. The uid of its namespace kube-system identifies the cluster, whatever the
 * address, context or credentials: another way to the same cluster replaces no resource, another cluster replaces all
 * of them.
 */
export function clusterProviders(config: ClusterConfig, eks: EksCluster | undefined): ClusterProviders {
  const args = providerArgs(config, eks);
  // It only reads. Without an identifier of its own, another address would replace it, which alarms in a preview.
  const identityProvider = new Provider("cluster-identity", { ...args, clusterIdentifier: "read" });
  const kubeSystem = Namespace.get("kube-system", "kube-system", { provider: identityProvider });
  const identifiedArgs = { ...args, clusterIdentifier: kubeSystem.metadata.uid };
  return {
    // Otherwise a rotated key replaces the Secret. As both have the same name, Pulumi first deletes everything that
    // uses the old one.
    objects: new Provider("cluster", { ...identifiedArgs, enableSecretMutable: true }),
    patches: new Provider("cluster-patches", { ...identifiedArgs, enableServerSideApply: true }),
  };
}

function providerArgs(config: ClusterConfig, eks: EksCluster | undefined): ProviderArgs {
  if (eks !== undefined && "login" in config) return { kubeconfig: eksKubeconfig(eks, config.login) };
  const { kubeconfig, context } = "kubeconfig" in config ? config : {};
  return {
    ...(kubeconfig === undefined ? {} : { kubeconfig: isContent(kubeconfig) ? pulumi.secret(kubeconfig) : kubeconfig }),
    ...(context === undefined ? {} : { context }),
  };
}
