// The response of EKS to DescribeCluster for the local cluster.
import { readFile } from "node:fs/promises";
import { certificate, issuer, ports, url } from "../settings.ts";

/** Adds the endpoint, the issuer and the certificate of the local API server, which the emulator does not know. */
export async function describeCluster(response: Buffer): Promise<Buffer> {
  const { cluster } = JSON.parse(response.toString()) as { cluster: object };
  const data = (await readFile(certificate)).toString("base64");
  const known = {
    endpoint: url(ports.apiServer, "https"),
    identity: { oidc: { issuer } },
    certificateAuthority: { data },
  };
  return Buffer.from(JSON.stringify({ cluster: { ...cluster, ...known } }));
}
