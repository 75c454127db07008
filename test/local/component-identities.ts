// How the components of Kubernetes authenticate to each other: tokens, certificates and kubeconfigs.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./process.ts";
import { authenticatorCertificate, certificate, kubeconfig, pki, ports, serviceAccountKey, url } from "./settings.ts";

/** The name of the only node in the cluster. */
export const node = "ecr-helper-node";

/** The client certificate of the API server, which the kubelet trusts. */
export const kubeletClientCertificate = join(pki, "kubelet-client.crt");
/** The private key of `kubeletClientCertificate`. */
export const kubeletClientKey = join(pki, "kubelet-client.key");

/** The private key that signs the tokens of service accounts. */
export const serviceAccountSigningKey = join(pki, "sa.key");

/** The API server's static tokens: one line per identity. */
export const tokenFile = join(pki, "tokens.csv");

/** The kubeconfig by which the API server reaches the authenticator of EKS (eks.ts). */
export const authenticatorKubeconfig = join(pki, "authenticator.json");

/** The user name and the group of each component, as the API server's token file takes them. */
const identities = {
  "kube-controller-manager": ["system:kube-controller-manager", ""],
  "kube-scheduler": ["system:kube-scheduler", ""],
  "kube-proxy": ["system:kube-proxy", ""],
  kubelet: [`system:node:${node}`, "system:nodes"],
  // Has to be the last one: where its kubeconfig exists, all the others are taken to exist, too.
  admin: ["admin", "system:masters"],
} as const;

type Identity = keyof typeof identities;

/** The path of an identity's kubeconfig. */
export const kubeconfigOf = (identity: Identity): string =>
  identity === "admin" ? kubeconfig : join(pki, `${identity}.json`);

/** Creates the keys, certificates, tokens and kubeconfigs of all components. */
export async function writeIdentities(): Promise<void> {
  await mkdir(pki, { recursive: true, mode: 0o700 });
  await writeServiceAccountKeys();
  // Without a certificate the kubelet does not trust the API server: it could check a token only with the API server itself.
  const client = { file: kubeletClientCertificate, key: kubeletClientKey };
  await makeCertificate(client, "-subj", "/O=system:masters/CN=kube-apiserver");
  const { address } = ports.authenticator;
  const named = ["-subj", "/CN=authenticator", "-addext", `subjectAltName=IP:${address}`];
  await makeCertificate(authenticatorCertificate, ...named);
  await writeFile(authenticatorKubeconfig, JSON.stringify(authenticatorConfig()));
  await writeTokens();
}

async function writeServiceAccountKeys(): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await writeFile(serviceAccountSigningKey, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  await writeFile(serviceAccountKey, publicKey.export({ type: "spki", format: "pem" }));
}

/** Writes the token of each identity into the API server's token file and into the identity's kubeconfig. */
async function writeTokens(): Promise<void> {
  const tokens = Object.entries(identities).map(([identity, [user, group]]) => {
    const token = randomBytes(32).toString("hex");
    return { identity: identity as Identity, token, line: `${token},${user},${user},"${group}"` };
  });
  await writeFile(tokenFile, tokens.map(({ line }) => line).join("\n"), { mode: 0o600 });
  for (const { identity, token } of tokens) {
    await writeFile(kubeconfigOf(identity), JSON.stringify(kubeconfigFor(token), undefined, 2), { mode: 0o600 });
  }
}

async function makeCertificate({ file, key }: { file: string; key: string }, ...args: string[]): Promise<void> {
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650"];
  await run("openssl", ["req", "-x509", ...kind, "-keyout", key, "-out", file, ...args]);
}

const authenticatorConfig = (): object => ({
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
