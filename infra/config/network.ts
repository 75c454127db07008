// The keys of the NetworkPolicy.
import { namespaceName } from "../../helper/shared/names.ts";
import type { ConfigReader } from "./reader.ts";

/** Which traffic of the helper's pod the NetworkPolicy restricts. */
const networkPolicies = ["none", "ingress", "all"] as const;

/** The validated keys of the NetworkPolicy. */
export interface NetworkConfig {
  readonly networkPolicy: (typeof networkPolicies)[number];
  /** Namespaces whose pods may request metrics; any if empty. */
  readonly monitoringNamespaces: readonly string[];
}

/** Reads the keys of the NetworkPolicy, and collects the mistakes in them. */
export function readNetwork(config: ConfigReader): NetworkConfig {
  const networkPolicy = config.oneOf("networkPolicy", networkPolicies);
  const key = "monitoringNamespaces";
  const namespaces = config.strings(key, namespaceName, "names of namespaces (at most 63, lower case, digits and -)");
  if (namespaces.length > 0 && networkPolicy === "none") {
    config.addMistake(key, JSON.stringify(namespaces), "nothing: networkPolicy is none");
  }
  return { networkPolicy, monitoringNamespaces: [...new Set(namespaces)] };
}
