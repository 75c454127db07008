// Certificates for servers of the test's own; nothing of them stays on the disk.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../local/process.ts";

/** Makes one that signs itself, for IP addresses and hosts, with its key, both in PEM. */
export async function makeCertificate(...names: string[]): Promise<{ cert: string; key: string }> {
  const folder = await mkdtemp(join(tmpdir(), "ecr-helper-certificate-"));
  const [certFile, keyFile] = [join(folder, "tls.crt"), join(folder, "tls.key")];
  try {
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const alternatives = names.map((name) => `${isIP(name) === 0 ? "DNS" : "IP"}:${name}`).join(",");
    const named = ["-subj", "/CN=ecr-helper-test", "-addext", `subjectAltName=${alternatives}`];
    await run("openssl", ["req", "-x509", ...kind, "-keyout", keyFile, "-out", certFile, ...named]);
    const [cert, key] = await Promise.all([readFile(certFile, "utf8"), readFile(keyFile, "utf8")]);
    return { cert, key };
  } finally {
    await rm(folder, { recursive: true });
  }
}
