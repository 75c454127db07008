// Pulls an image with the helper's pull secret while something else happens.
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { ports } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { RegistryClient } from "../support/registry-client.ts";
import type { TestNamespaces } from "../support/test-namespaces.ts";

interface Secret {
  data: Record<string, string>;
}

/** The first registry's password in a pull secret. */
export async function pullPassword(options: KubeOptions, namespace: string, name = "ecr-creds-pull"): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/secrets/${name}`;
  const { data } = await createKubeClient(options)<Secret>({ method: "GET", path });
  const config = Buffer.from(data[".dockerconfigjson"] ?? "", "base64").toString();
  const { auths } = JSON.parse(config) as { auths: Record<string, { auth: string }> };
  const [auth = ""] = Object.values(auths).map((one) => one.auth);
  return Buffer.from(auth, "base64").toString().replace(/^AWS:/, "");
}

/**
 * Requests the manifest of an image (`HOST/NAME@DIGEST`) repeatedly until `ended` settles, each time with a new reading of the
 * password. Resolves with the number of successful requests, and the errors of the others.
 */
export async function pullUntil(
  ended: Promise<unknown>,
  image: string,
  password: () => Promise<string>,
): Promise<{ pulled: number; refused: string[] }> {
  const [, repository = "", digest = ""] = /^[^/]+\/(\S+)@(\S+)$/.exec(image) ?? [];
  const results = { pulled: 0, refused: [] as string[] };
  let over = false;
  void ended.finally(() => (over = true));
  const isOver = (): boolean => over;
  while (!isOver()) {
    const client = new RegistryClient(ports.registry, await password());
    try {
      await client.request("GET", `/v2/${repository}/manifests/${digest}`);
      results.pulled += 1;
    } catch (error) {
      results.refused.push(String(error));
    }
  }
  return results;
}

/** Creates a build namespace, and resolves to the seconds until it had its pull secret. Rejects after `timeout` milliseconds. */
export async function serve(
  options: KubeOptions,
  namespaces: TestNamespaces,
  name: string,
  timeout: number,
): Promise<number> {
  const since = performance.now();
  await namespaces.create(name);
  const path = `/api/v1/namespaces/${name}/secrets?fieldSelector=type%3Dkubernetes.io/dockerconfigjson`;
  await waitForObject(options, path, () => true, timeout);
  return (performance.now() - since) / 1000;
}
