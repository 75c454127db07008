// The writers that the helper is compared with: one as fast as the API server allows, and one that works as other tools do.
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { skipFieldWarnings } from "../../helper/controller/write-requests.ts";
import { readConfig } from "../../helper/config/helper-config.ts";
import { desiredSecrets } from "../../helper/resources/secrets.ts";
import type { DesiredSecret } from "../../helper/resources/types.ts";
import { createKubeClient, acceptMetadataOnly, type KubeOptions } from "../../helper/kube/client.ts";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { inParallel } from "../../helper/runtime/parallel.ts";
import { exampleOwners } from "../support/owners.ts";

/** The secrets that a helper with this environment would write; the token differs with `round`. */
export function newSecrets(env: Readonly<Record<string, string>>, round: number): DesiredSecret[] {
  const config = readConfig(env);
  // As long as the local cloud's passwords.
  const password = String(round).repeat(684);
  const token = { username: "AWS", password, issuedAt: round, expiresAt: round + 1 };
  return desiredSecrets(
    config,
    new Map([...config.basicAuthSecrets.keys()].map((region) => [region, token])),
    exampleOwners(config),
  );
}

const width = 32;

/** Applies the secrets in all namespaces, 32 at a time over one HTTP/2 connection. Resolves with the seconds it took. */
export async function writeRaw(
  { server, ca, token }: KubeOptions,
  namespaces: readonly string[],
  secrets: readonly DesiredSecret[],
): Promise<number> {
  const session = connectHttp2(server, { ca: ca() });
  const all = namespaces.flatMap((namespace) =>
    secrets.map(({ name, toApply }) => ({ namespace, name, body: Buffer.from(toApply()) })),
  );
  const start = performance.now();
  await inParallel(all, width, async ({ namespace, name, body }) => {
    const headers = {
      ":method": "PATCH",
      ":path": `/api/v1/namespaces/${namespace}/secrets/${name}?fieldManager=bench&force=true&${skipFieldWarnings}`,
      authorization: `Bearer ${token()}`,
      "content-type": "application/apply-patch+yaml",
      accept: acceptMetadataOnly(),
    };
    await request(session, headers, body);
  });
  const took = (performance.now() - start) / 1000;
  session.close();
  return took;
}

async function request(session: ClientHttp2Session, headers: Record<string, string>, body: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stream = session.request(headers);
    stream.on("response", ({ ":status": status = 0 }) => {
      if (status > 299) reject(new Error(`${String(headers[":path"])} was answered ${String(status)}`));
    });
    stream.on("error", reject).on("end", resolve).resume().end(body);
  });
}

/** Reads and updates one secret after the other, as tools do that walk a list by a timer. Resolves with the seconds it took. */
export async function writeSequentially(
  options: KubeOptions,
  namespaces: readonly string[],
  secrets: readonly DesiredSecret[],
): Promise<number> {
  const kube = createKubeClient(options);
  const start = performance.now();
  for (const namespace of namespaces) {
    for (const { name, toApply } of secrets) {
      const path = `/api/v1/namespaces/${namespace}/secrets/${name}`;
      const found = await undefinedIfNotFound(kube<object>({ method: "GET", path }));
      const { metadata, ...rest } = JSON.parse(toApply()) as { metadata: object };
      const version = (found as { metadata: { resourceVersion: string } } | undefined)?.metadata.resourceVersion;
      await kube({
        method: "PUT",
        path,
        body: { ...rest, metadata: { ...metadata, namespace, resourceVersion: version } },
      });
    }
  }
  return (performance.now() - start) / 1000;
}
