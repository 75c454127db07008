// Reads which cluster the stack is for.
import { existsSync, statSync } from "node:fs";
import { readAwsLogin, type AwsLogin } from "./aws-login.ts";
import { eksClusterName } from "./aws-names.ts";
import type { ConfigReader } from "./reader.ts";

/** The cluster: a kubeconfig (path or content) and a context of it, or the name of an EKS cluster. */
export type ClusterConfig =
  | { readonly kubeconfig: string | undefined; readonly context: string | undefined }
  | { readonly eksCluster: string; readonly login: AwsLogin };

/** One line that is not blank. */
const contextName = /^(?=.*\S)[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]+$/u;

/** Whether a kubeconfig value is its content rather than its path. The content may contain keys. */
export const isContent = (kubeconfig: string): boolean => kubeconfig.includes("clusters");

/** Reads the cluster. Exactly one way to name it must be set, so that the current context is never used by accident. */
export function readCluster(config: ConfigReader): ClusterConfig {
  const kubeconfig = config.optional("kubeconfig", /./s, "the path of a kubeconfig, or its content");
  const context = config.optional("context", contextName, "the name of a context");
  const eksCluster = config.optional("eksCluster", eksClusterName, "the name of an EKS cluster");
  const anyKubeconfig = kubeconfig ?? context;
  if (kubeconfig !== undefined && !isContent(kubeconfig) && !isFile(kubeconfig)) {
    config.addMistake(
      "kubeconfig",
      kubeconfig,
      "the path of a file that exists (from the project's folder), or a kubeconfig's content",
    );
  }
  if (eksCluster !== undefined) {
    if (anyKubeconfig !== undefined) {
      config.addMistake(
        "eksCluster",
        eksCluster,
        "not to be set together with kubeconfig or context: they name a cluster too",
      );
    }
    return { eksCluster, login: readAwsLogin(config) };
  }
  if (anyKubeconfig === undefined) {
    config.addMistake(
      "kubeconfig",
      "",
      "one of kubeconfig, context or eksCluster to say which cluster; the current context is not taken by accident",
    );
  }
  return { kubeconfig, context };
}

const isFile = (path: string): boolean => existsSync(path) && statSync(path).isFile();
