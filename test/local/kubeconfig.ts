// A kubeconfig as the local cloud writes it: one cluster, one user with a token.
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import type { KubeOptions } from "../../helper/kube.ts";
import { LocalCloudError } from "./process.ts";

interface Kubeconfig {
  clusters?: { cluster?: { server?: string; "certificate-authority"?: string } }[];
  users?: { user?: { token?: string } }[];
}

/** How to reach the API server of a kubeconfig. Fails for one that the local cloud did not write. */
export function readKubeconfig(file: string): KubeOptions {
  const { clusters, users } = parse(readFileSync(file, "utf8")) as Kubeconfig;
  const { server, "certificate-authority": ca } = clusters?.[0]?.cluster ?? {};
  const token = users?.[0]?.user?.token;
  if (server === undefined || ca === undefined || token === undefined) {
    throw new LocalCloudError(
      `${file} is not the local cloud's kubeconfig, and only the pulumi command can provision into another cluster. ` +
        "Remedy: install pulumi and use a stack of your own (README.md), or leave ecr-helper:kubeconfig as Pulumi.dev.yaml has it.",
    );
  }
  return { server, ca: readFileSync(ca, "utf8"), token: () => token };
}
