// A helper whose API server ends and comes back.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { ports, url } from "../local/settings.ts";
import { waitForObject, waitUntilGone } from "../local/watch.ts";
import { ApiServer } from "../support/api-server.ts";
import { accountPath, secretPath, type Secret, type ServiceAccount } from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const timeout = 60_000;
const merge = "application/merge-patch+json";

const secretsOf = (namespace: string, name: string): string =>
  `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3D${name}`;

describe("an API server that is stopped and started again", () => {
  let parts: Parts;
  let server: ApiServer;

  before(async () => {
    server = await ApiServer.start();
    parts = await makeParts([`${id}-*`], { config: { namespaceSelector: `builds=${id}` } });
  });

  after(async () => {
    await parts.remove();
    await server.kill();
  });

  /** What the helper misses in the meantime, through the cloud's own API server. */
  const meanwhile = async (round: string): Promise<void> => {
    await parts.admin({ method: "DELETE", path: secretPath(`${id}-deleted`, "ecr-creds") });
    await parts.namespace(`${id}-new-${round}`);
    const body = { metadata: { labels: { builds: null } } };
    await parts.admin({
      method: "PATCH",
      path: `/api/v1/namespaces/unlabelled-${id}-${round}`,
      contentType: merge,
      body,
    });
    await parts.admin({ method: "DELETE", path: accountPath(`${id}-account`) });
  };
  const allRight = async (round: string): Promise<void> => {
    for (const namespace of [`${id}-deleted`, `${id}-new-${round}`]) {
      await waitForObject<Secret>(parts.options, secretsOf(namespace, "ecr-creds"), () => true, timeout);
    }
    await waitUntilGone(parts.options, secretsOf(`unlabelled-${id}-${round}`, "ecr-creds"), timeout);
    const accounts = `/api/v1/namespaces/${id}-account/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa`;
    await waitForObject<ServiceAccount>(parts.options, accounts, ({ secrets }) => secrets !== undefined, timeout);
  };
  /** Compacts etcd, as the API server does every few minutes: a watch from an older version then gets 410 Gone. */
  const compact = async (): Promise<void> => {
    const { metadata } = await parts.admin<{ metadata: { resourceVersion: string } }>({
      method: "GET",
      path: "/api/v1/nodes",
    });
    const body = JSON.stringify({ revision: metadata.resourceVersion, physical: true });
    const answer = await fetch(`${url(ports.etcd)}/v3/kv/compaction`, { method: "POST", body });
    assert.equal(answer.status, 200, await answer.text());
  };

  it("is used again by the helper, which misses no change, not even one that etcd has compacted", async () => {
    for (const name of ["deleted", "account"]) await parts.namespace(`${id}-${name}`);
    for (const round of ["kept", "forgotten"]) await parts.namespace(`unlabelled-${id}-${round}`, { builds: id });
    const helper = parts.run({ ECR_HELPER_LOG_LEVEL: "debug" }, { ...parts.cluster, server: server.options.server });
    await helper.line(/the secret will expire/);
    for (const round of ["kept", "forgotten"]) {
      await server.kill();
      await meanwhile(round);
      if (round === "forgotten") await compact();
      await server.start();
      await allRight(round);
    }
    assert.ok(
      helper.lines.some(({ message }) => / 410 /.test(message)),
      "a watch got 410 Gone",
    );
    assert.equal((await helper.stop()).code, 0);
  });
});
