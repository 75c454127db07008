// The control plane of the local cloud's Kubernetes: etcd, API server, controller manager and scheduler.
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createKubeClient } from "../../helper/kube/client.ts";
import type { Kube } from "../../helper/kube/types.ts";
import { apiServerAudits } from "./audit-log.ts";
import { auditPolicyFile, writeAuditPolicy } from "./audit-policy.ts";
import {
  authenticatorKubeconfig,
  kubeconfigOf,
  kubeletClientCertificate,
  kubeletClientKey,
  serviceAccountSigningKey,
  tokenFile,
  writeIdentities,
} from "./component-identities.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { startBackground, succeeds, waitUntilReady } from "./process.ts";
import {
  binaries,
  certificate,
  home,
  issuer,
  kubeconfig,
  pki,
  ports,
  serviceAccountKey,
  serviceRange,
  url,
} from "./settings.ts";

/** Starts the components that are not running and waits until the API server is ready. `kubernetes` is the binary's path. */
export async function startControlPlane(kubernetes: string): Promise<void> {
  await writeFile(join(binaries, "kubectl"), `#!/bin/sh\nexec ${kubernetes} kubectl "$@"\n`, { mode: 0o755 });
  if (!existsSync(kubeconfig)) await writeIdentities();
  startComponent(kubernetes, "etcd", etcdArgs());
  await writeAuditPolicy();
  startComponent(kubernetes, "kube-apiserver", apiServerArgs());
  await waitUntilReady("kube-apiserver", isApiServerReady);
  startComponent(kubernetes, "kube-controller-manager", controllerManagerArgs());
  const scheduler = ["--kubeconfig", kubeconfigOf("kube-scheduler"), "--leader-elect=false", "--secure-port=0"];
  startComponent(kubernetes, "kube-scheduler", scheduler);
}

/** Starts a component, which is the first argument of the one Kubernetes binary, unless it is running. */
export const startComponent = (kubernetes: string, name: string, args: readonly string[]): void =>
  startBackground({ name, command: kubernetes, args: [name, ...args] });

/** The arguments of an etcd with one member, by default the local cloud's. `client` and `peer` are URLs. */
export const etcdArgs = (
  folder = join(home, "etcd"),
  client = url(ports.etcd),
  peer = url(ports.etcdPeer),
): string[] => [
  `--data-dir=${folder}`,
  `--listen-client-urls=${client}`,
  `--advertise-client-urls=${client}`,
  `--listen-peer-urls=${peer}`,
  `--initial-advertise-peer-urls=${peer}`,
  `--initial-cluster=default=${peer}`,
];

/** The arguments of an API server, by default the local cloud's. `etcd` is a URL. */
export const apiServerArgs = (port: number = ports.apiServer.port, etcd = url(ports.etcd)): string[] => [
  `--etcd-servers=${etcd}`,
  `--bind-address=${ports.apiServer.address}`,
  `--advertise-address=${ports.apiServer.address}`,
  `--secure-port=${String(port)}`,
  // Without a certificate in its arguments it writes a self-signed one here, for its own address and the service's.
  `--cert-dir=${pki}`,
  `--service-cluster-ip-range=${serviceRange}`,
  `--token-auth-file=${tokenFile}`,
  "--authorization-mode=Node,RBAC",
  "--enable-admission-plugins=NodeRestriction",
  // Beta, and off by default until it is generally available.
  "--feature-gates=MutatingAdmissionPolicy=true",
  "--runtime-config=admissionregistration.k8s.io/v1beta1=true",
  `--authentication-token-webhook-config-file=${authenticatorKubeconfig}`,
  "--authentication-token-webhook-version=v1",
  // A token of `aws eks get-token` is valid this long, but the emulator's STS accepts the request in it for one minute only.
  "--authentication-token-webhook-cache-ttl=14m",
  `--service-account-issuer=${issuer}`,
  `--service-account-key-file=${serviceAccountKey}`,
  `--service-account-signing-key-file=${serviceAccountSigningKey}`,
  `--kubelet-client-certificate=${kubeletClientCertificate}`,
  `--kubelet-client-key=${kubeletClientKey}`,
  "--kubelet-preferred-address-types=InternalIP",
  `--audit-policy-file=${auditPolicyFile}`,
  `--audit-log-path=${join(apiServerAudits, `${String(port)}.log`)}`,
  // In megabytes. The log has to stay in one file, because the tests read it as a whole.
  "--audit-log-maxsize=10000",
];

const controllerManagerArgs = (): string[] => [
  `--kubeconfig=${kubeconfigOf("kube-controller-manager")}`,
  `--root-ca-file=${certificate}`,
  `--service-account-private-key-file=${serviceAccountSigningKey}`,
  "--use-service-account-credentials=true",
  "--leader-elect=false",
  "--secure-port=0",
];

/** A client of the API server with the rights of the cluster's administrator. */
export const adminKube = (): Kube => createKubeClient(readKubeconfig(kubeconfig));

async function isApiServerReady(): Promise<boolean> {
  if (!existsSync(certificate)) return false;
  const kube = adminKube();
  // The default roles are created a moment after the server listens, and no component has any rights without them.
  return succeeds(kube({ method: "GET", path: "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:basic-user" }));
}
