// Reads kubeconfigs of the local cloud or of the program: one cluster, and one user with a token or a command that prints one.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import type { KubeOptions } from "../../helper/kube/client.ts";
import { LocalCloudError } from "./process.ts";

interface Exec {
  command: string;
  args: string[];
}

interface Cluster {
  server?: string;
  "certificate-authority"?: string;
  "certificate-authority-data"?: string;
}

interface User {
  token?: string;
  exec?: Exec;
}

interface Kubeconfig {
  clusters?: { cluster?: Cluster }[];
  users?: { user?: User }[];
}

/** Reads a kubeconfig, given as its path or content. Throws LocalCloudError for one that neither the cloud nor the program wrote. */
export function readKubeconfig(kubeconfig: string): KubeOptions {
  const isContent = kubeconfig.includes("clusters");
  const { clusters = [], users = [] } = parse(isContent ? kubeconfig : readFileSync(kubeconfig, "utf8")) as Kubeconfig;
  const [cluster, user] = [clusters[0]?.cluster ?? {}, users[0]?.user ?? {}];
  const options = { server: cluster.server, ca: authorityOf(cluster), token: credentialOf(user) };
  if (isWhole(options)) return options;
  throw new LocalCloudError(
    `${isContent ? "This" : kubeconfig} is not the local cloud's kubeconfig, and only the pulumi command can provision into another cluster. ` +
      "Remedy: install pulumi and use a stack of your own (README.md), or leave ecr-helper:kubeconfig as Pulumi.dev.yaml has it.",
  );
}

const isWhole = (options: { [Key in keyof KubeOptions]: KubeOptions[Key] | undefined }): options is KubeOptions =>
  options.server !== undefined && options.ca !== undefined && options.token !== undefined;

function credentialOf({ token, exec }: User): (() => string) | undefined {
  if (token !== undefined) return () => token;
  return exec && ((): string => tokenBy(exec));
}

function authorityOf({
  "certificate-authority": file,
  "certificate-authority-data": data,
}: Cluster): (() => string) | undefined {
  if (data !== undefined) return () => Buffer.from(data, "base64").toString();
  return file === undefined ? undefined : (): string => readFileSync(file, "utf8");
}

interface Credential {
  status: { token: string; expirationTimestamp: string };
}

const made = new Map<string, Credential["status"]>();

/** The token that a command prints. The command runs again when the token has expired. */
function tokenBy({ command, args }: Exec): string {
  const key = [command, ...args].join(" ");
  const known = made.get(key);
  if (known !== undefined && Date.parse(known.expirationTimestamp) > Date.now()) return known.token;
  const { status } = JSON.parse(execFileSync(command, args, { encoding: "utf8" })) as Credential;
  made.set(key, status);
  return status.token;
}
