// The certificates of caBundle, which the helper trusts for AWS beside those of Node: a file in its pod.
import { createHash } from "node:crypto";
import { ConfigMap } from "@pulumi/kubernetes/core/v1/configMap.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import type * as pulumi from "@pulumi/pulumi";
import type { CaBundleConfig } from "./config/aws-connection.ts";
import type { PodCredentials } from "./pod-credentials.ts";

const [mountPath, file] = ["/etc/ecr-helper/ca", "ca.crt"];

/** The path of the file in the helper's pod. */
export const caFile = `${mountPath}/${file}`;

/** The parts of a pod that has the file. */
export type CaBundle = Pick<PodCredentials, "volumes" | "volumeMounts" | "annotations">;

/**
 * Creates the ConfigMap for certificates of the configuration. The ConfigMap of another owner is only mounted: the kubelet
 * renews the file, so that the pod need not be replaced with it. An environment variable would be too short for many.
 */
export function createCaBundle(
  name: string,
  bundle: CaBundleConfig | undefined,
  metadata: { readonly namespace: pulumi.Input<string>; readonly labels: Record<string, string> },
  options: pulumi.ComponentResourceOptions,
): CaBundle {
  if (bundle === undefined) return { volumes: [], volumeMounts: [], annotations: {} };
  if ("configMap" in bundle) return mounted(bundle.configMap, bundle.key);
  const args = { metadata: { ...metadata, name: `${name}-ca` }, data: { [file]: bundle.pem } };
  const configMap = new ConfigMap(`${name}-ca`, args, options);
  // So that `pulumi up` has the change take effect, and waits for it.
  const fingerprint = createHash("sha256").update(bundle.pem).digest("hex").slice(0, 16);
  return { ...mounted(configMap.metadata.name, file), annotations: { "ecr-helper/ca-bundle": fingerprint } };
}

function mounted(configMap: pulumi.Input<string>, key: string): CaBundle {
  const source: input.core.v1.ConfigMapVolumeSource = { name: configMap, items: [{ key, path: file }] };
  const volumeMounts = [{ name: "ca-bundle", mountPath, readOnly: true }];
  return { volumes: [{ name: "ca-bundle", configMap: source }], volumeMounts, annotations: {} };
}
