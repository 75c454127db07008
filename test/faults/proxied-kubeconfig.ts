// A kubeconfig that leads to the local cluster through a proxy.
import { readFileSync } from "node:fs";
import { parse, stringify } from "yaml";
import { kubeconfig } from "../local/settings.ts";
import type { Proxy } from "../support/proxy.ts";

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Record<string, string> }[];
}

/** The cloud's kubeconfig with the address and the certificate of a proxy. */
export function kubeconfigOf({ url, ca }: Proxy): string {
  const content = parse(readFileSync(kubeconfig, "utf8")) as Kubeconfig;
  const cluster = { server: url, "certificate-authority-data": Buffer.from(ca).toString("base64") };
  return stringify({ ...content, clusters: content.clusters.map((one) => ({ ...one, cluster })) });
}
