// The control plane of the local cloud's Kubernetes: etcd, API server, controller manager, scheduler, and who is who to them.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createKubeClient } from "../../helper/kube/client.ts";
import type { Kube } from "../../helper/kube/types.ts";
import { apiServerAudits } from "./audit-log.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import {
  authenticatorCertificate,
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
import { run, startBackground, succeeds, waitUntilReady } from "./process.ts";

export const node = "ecr-helper-node";
/** What the kubelet takes for the API server's certificate. */
export const kubeletClientCertificate = join(pki, "kubelet-client.crt");

/** Who the components are to the API server: user name and group, as its token file wants them. */
const identities = {
  "kube-controller-manager": ["system:kube-controller-manager", ""],
  "kube-scheduler": ["system:kube-scheduler", ""],
  "kube-proxy": ["system:kube-proxy", ""],
  kubelet: [`system:node:${node}`, "system:nodes"],
  // The last one: that its kubeconfig is there says that all are.
  admin: ["admin", "system:masters"],
} as const;

type Identity = keyof typeof identities;

export const kubeconfigOf = (identity: Identity): string =>
  identity === "admin" ? kubeconfig : join(pki, `${identity}.json`);

/** Starts whatever of the control plane does not run and waits until the API server is ready. */
export async function startControlPlane(kubernetes: string): Promise<void> {
  await writeFile(join(binaries, "kubectl"), `#!/bin/sh\nexec ${kubernetes} kubectl "$@"\n`, { mode: 0o755 });
  if (!existsSync(kubeconfig)) await writeIdentities();
  startComponent(kubernetes, "etcd", etcdArgs());
  await writeAuditPolicy();
  startComponent(kubernetes, "kube-apiserver", apiServerArgs());
  await waitUntilReady("kube-apiserver", apiServerReady);
  startComponent(kubernetes, "kube-controller-manager", controllerManagerArgs());
  const scheduler = ["--kubeconfig", kubeconfigOf("kube-scheduler"), "--leader-elect=false", "--secure-port=0"];
  startComponent(kubernetes, "kube-scheduler", scheduler);
}

/** Starts a component of the one Kubernetes binary unless it runs. */
export const startComponent = (kubernetes: string, name: string, args: readonly string[]): void =>
  startBackground({ name, command: kubernetes, args: [name, ...args] });

async function writeIdentities(): Promise<void> {
  await mkdir(pki, { recursive: true, mode: 0o700 });
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await writeFile(join(pki, "sa.key"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  await writeFile(serviceAccountKey, publicKey.export({ type: "spki", format: "pem" }));
  // The API server is nobody to the kubelet without a certificate: tokens it can only check with the API server itself.
  const client = { file: kubeletClientCertificate, key: join(pki, "kubelet-client.key") };
  await makeCertificate(client, "-subj", "/O=system:masters/CN=kube-apiserver");
  const { address } = ports.authenticator;
  const named = ["-subj", "/CN=authenticator", "-addext", `subjectAltName=IP:${address}`];
  await makeCertificate(authenticatorCertificate, ...named);
  await writeFile(webhook, JSON.stringify(webhookConfig()));
  const known = Object.entries(identities).map(([identity, [user, group]]) => {
    const token = randomBytes(32).toString("hex");
    return { identity: identity as Identity, token, line: `${token},${user},${user},"${group}"` };
  });
  await writeFile(join(pki, "tokens.csv"), known.map(({ line }) => line).join("\n"), { mode: 0o600 });
  for (const { identity, token } of known) {
    await writeFile(kubeconfigOf(identity), JSON.stringify(kubeconfigFor(token), undefined, 2), { mode: 0o600 });
  }
}

async function makeCertificate({ file, key }: { file: string; key: string }, ...args: string[]): Promise<void> {
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"];
  await run("openssl", ["req", "-x509", ...kind, "-keyout", key, "-out", file, ...args]);
}

/** How the API server reaches EKS' authenticator (eks.ts). */
const webhook = join(pki, "authenticator.json");
const webhookConfig = (): object => ({
  apiVersion: "v1",
  kind: "Config",
  clusters: [
    {
      name: "authenticator",
      cluster: { server: url(ports.authenticator, "https"), "certificate-authority": authenticatorCertificate.file },
    },
  ],
  users: [{ name: "kube-apiserver", user: {} }],
  contexts: [{ name: "authenticator", context: { cluster: "authenticator", user: "kube-apiserver" } }],
  "current-context": "authenticator",
});

const kubeconfigFor = (token: string): object => ({
  apiVersion: "v1",
  kind: "Config",
  clusters: [
    { name: "local", cluster: { server: url(ports.apiServer, "https"), "certificate-authority": certificate } },
  ],
  users: [{ name: "local", user: { token } }],
  contexts: [{ name: "local", context: { cluster: "local", user: "local" } }],
  "current-context": "local",
});

/** The arguments of an etcd of one member; the cloud's own by default. */
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

/** What API servers write down: what service accounts ask for and how it is answered, but for those of Kubernetes itself. */
const auditPolicy = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  omitManagedFields: true,
  rules: [
    // What pods and Events say, to be looked through for secrets; what the roles grant, and since when.
    {
      level: "Request",
      verbs: ["create", "update", "patch"],
      resources: [
        { group: "", resources: ["events", "pods"] },
        { group: "apps", resources: ["deployments"] },
      ],
    },
    {
      level: "Request",
      verbs: ["create", "update", "patch", "delete"],
      resources: [{ group: "rbac.authorization.k8s.io" }],
    },
    { level: "Metadata", verbs: ["delete"], resources: [{ group: "", resources: ["namespaces"] }] },
    { level: "None", userGroups: ["system:serviceaccounts:kube-system"] },
    { level: "Metadata", userGroups: ["system:serviceaccounts"] },
  ],
};

const auditPolicyFile = join(apiServerAudits, "policy.json");

/** To be done before an API server is started. */
export async function writeAuditPolicy(): Promise<void> {
  await mkdir(apiServerAudits, { recursive: true });
  await writeFile(auditPolicyFile, JSON.stringify(auditPolicy));
}

/** The arguments of an API server; the cloud's own by default. */
export const apiServerArgs = (port: number = ports.apiServer.port, etcd = url(ports.etcd)): string[] => [
  `--etcd-servers=${etcd}`,
  `--bind-address=${ports.apiServer.address}`,
  `--advertise-address=${ports.apiServer.address}`,
  `--secure-port=${String(port)}`,
  // Without a given certificate it makes its own, for its address and the service's, and signs it by itself.
  `--cert-dir=${pki}`,
  `--service-cluster-ip-range=${serviceRange}`,
  `--token-auth-file=${join(pki, "tokens.csv")}`,
  "--authorization-mode=Node,RBAC",
  "--enable-admission-plugins=NodeRestriction",
  `--authentication-token-webhook-config-file=${webhook}`,
  "--authentication-token-webhook-version=v1",
  // So long is a token of `aws eks get-token` good; the emulator's STS takes the request in it for a minute only.
  "--authentication-token-webhook-cache-ttl=14m",
  `--service-account-issuer=${issuer}`,
  `--service-account-key-file=${serviceAccountKey}`,
  `--service-account-signing-key-file=${join(pki, "sa.key")}`,
  `--kubelet-client-certificate=${kubeletClientCertificate}`,
  `--kubelet-client-key=${join(pki, "kubelet-client.key")}`,
  "--kubelet-preferred-address-types=InternalIP",
  `--audit-policy-file=${auditPolicyFile}`,
  `--audit-log-path=${join(apiServerAudits, `${String(port)}.log`)}`,
  // In megabytes: it is read as a whole.
  "--audit-log-maxsize=10000",
];

const controllerManagerArgs = (): string[] => [
  `--kubeconfig=${kubeconfigOf("kube-controller-manager")}`,
  `--root-ca-file=${certificate}`,
  `--service-account-private-key-file=${join(pki, "sa.key")}`,
  "--use-service-account-credentials=true",
  "--leader-elect=false",
  "--secure-port=0",
];

/** Calls the API server as the cluster's administrator. */
export const adminKube = (): Kube => createKubeClient(readKubeconfig(kubeconfig));

async function apiServerReady(): Promise<boolean> {
  if (!existsSync(certificate)) return false;
  const kube = adminKube();
  // Roles are made a moment after the server listens; without them no component may do anything.
  return succeeds(kube({ method: "GET", path: "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:basic-user" }));
}
