// Pulling by what the helper keeps, while something else goes on.
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { ports } from "../local/settings.ts";
import { RegistryClient } from "../support/registry-client.ts";

interface Secret {
  data: Record<string, string>;
}

/** The password in a pull secret. */
export async function pullPassword(options: KubeOptions, namespace: string, name = "ecr-creds-pull"): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/secrets/${name}`;
  const { data } = await createKubeClient(options)<Secret>({ method: "GET", path });
  const config = Buffer.from(data[".dockerconfigjson"] ?? "", "base64").toString();
  const { auths } = JSON.parse(config) as { auths: Record<string, { auth: string }> };
  const [auth = ""] = Object.values(auths).map((one) => one.auth);
  return Buffer.from(auth, "base64").toString().replace(/^AWS:/, "");
}

/**
 * Pulls an image (`HOST/NAME@DIGEST`) by the pull secret of a namespace, again and again until something has ended. Gives how
 * often, and what refused it.
 */
export async function pullUntil(
  ended: Promise<unknown>,
  image: string,
  password: () => Promise<string>,
): Promise<{ pulled: number; refused: string[] }> {
  const [, repository = "", digest = ""] = /^[^/]+\/(\S+)@(\S+)$/.exec(image) ?? [];
  const seen = { pulled: 0, refused: [] as string[] };
  let over = false;
  void ended.finally(() => (over = true));
  const isOver = (): boolean => over;
  while (!isOver()) {
    const client = new RegistryClient(ports.registry, await password());
    try {
      await client.request("GET", `/v2/${repository}/manifests/${digest}`);
      seen.pulled += 1;
    } catch (error) {
      seen.refused.push(String(error));
    }
  }
  return seen;
}
