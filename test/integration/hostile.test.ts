// A hostile tenant has all rights in a namespace, and writes what the helper reads there. All other namespaces must get and keep
// their credentials, and the helper's memory must not grow.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { createKubeClient } from "../../helper/kube/client.ts";
import type { Kube } from "../../helper/kube/types.ts";
import { inParallel } from "../../helper/runtime/parallel.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { recordSecrets } from "../local/audit-log.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { accountPath, secretPath } from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const [victim, hostile, outside] = [`team-${id}-victim`, `team-${id}-hostile`, `other-${id}`];

/** Kubernetes' limit for the size of an object's annotations, minus some room for those of other clients. */
const largest = 240 * 1024;
const text = (length: number): string => randomBytes(length / 2).toString("hex");

describe("the helper, with a hostile tenant in a namespace", () => {
  let cluster: DisposableCluster;
  let parts: Parts;
  let helper: HelperProcess;

  /** The API as its tenant, who may do everything in the namespace. */
  const tenantOf = async (namespace: string): Promise<Kube> => {
    const { admin, options } = parts;
    const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    await admin({ method: "POST", path: accounts, body: { metadata: { name: "tenant" } } });
    const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
    const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["*"] };
    const metadata = { name: "tenant" };
    await admin({ method: "POST", path: `${rbac}/roles`, body: { metadata, rules: [everything] } });
    const body = {
      metadata,
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "tenant" },
      subjects: [{ kind: "ServiceAccount", name: "tenant", namespace }],
    };
    await admin({ method: "POST", path: `${rbac}/rolebindings`, body });
    const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
    const path = `${accounts}/tenant/token`;
    const { token } = (await admin<{ status: { token: string } }>({ method: "POST", path, body: request })).status;
    recordSecrets([token]);
    return createKubeClient({ ...options, token: () => token });
  };

  const memory = (): number =>
    Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${String(helper.pid)}/status`, "utf8"))?.[1]);

  before(async () => {
    cluster = await startDisposableCluster();
    parts = await makeParts([`team-${id}-*`], cluster);
    for (const namespace of [victim, hostile, outside]) await parts.namespace(namespace);
  });

  after(async () => {
    await helper.stop();
    await parts.removeFromAws();
    await cluster.remove();
  });

  it("serves all others whatever the tenant writes before it starts", async () => {
    const poison = ['{"secrets":null}', "null", '{"secrets":{"length":1e9}}', "[".repeat(1_000), "{"];
    for (const [index, namespace] of [hostile, outside].entries()) {
      const tenant = await tenantOf(namespace);
      const metadata = { name: "builder-sa", annotations: { [`ecr-helper/${parts.owner}`]: poison[index] } };
      const body = { metadata, secrets: [{ name: "theirs" }, {}], imagePullSecrets: [{}] };
      await tenant({ method: "POST", path: `/api/v1/namespaces/${namespace}/serviceaccounts`, body });
    }
    helper = parts.run();
    await helper.line(/the secret will expire/);
    await parts.secret(victim);
    const tenant = await tenantOf(victim);
    for (const annotation of poison) {
      const from = helper.lines.length;
      const body = { metadata: { annotations: { [`ecr-helper/${parts.owner}`]: annotation } } };
      const contentType = "application/merge-patch+json";
      await tenant({ method: "PATCH", path: accountPath(victim), contentType, body });
      await helper.line(new RegExp(`serviceaccount/builder-sa configured in namespace ${victim}`), from, 90_000);
    }
    const { secrets, imagePullSecrets } = await parts.account(hostile);
    assert.ok(secrets?.some(({ name }) => name === "theirs") && secrets.some(({ name }) => name === "ecr-creds"));
    assert.ok(imagePullSecrets?.some(({ name }) => name === "ecr-creds-pull"));
    assert.deepEqual(
      (await parts.account(outside)).secrets,
      [{ name: "theirs" }, {}],
      "his own entries stay as they are",
    );
  });

  it("keeps its memory small with the largest objects in many namespaces at its start, and with a stream of them", async () => {
    await helper.stop();
    const many = Array.from({ length: 60 }, (_, index) => `other-${id}-${String(index)}`);
    await inParallel(many, 8, async (namespace) => {
      await parts.namespace(namespace);
      const metadata = { name: "ecr-creds", annotations: { large: text(largest) } };
      await parts.admin({ method: "POST", path: `/api/v1/namespaces/${namespace}/secrets`, body: { metadata } });
      const account = {
        metadata: { name: "builder-sa", annotations: { [`ecr-helper/${parts.owner}`]: text(largest) } },
      };
      await parts.admin({ method: "POST", path: `/api/v1/namespaces/${namespace}/serviceaccounts`, body: account });
    });
    helper = parts.run();
    await helper.line(/the secret will expire/, 0, 60_000);
    const before = memory();
    const tenant = await tenantOf(many[0] ?? "");
    const contentType = "application/merge-patch+json";
    for (let count = 0; count < 200; count++) {
      const own = { "app.kubernetes.io/managed-by": "ecr-helper", "app.kubernetes.io/instance": parts.owner };
      const body = {
        metadata: {
          labels: count % 2 === 0 ? own : null,
          annotations: { large: null, "ecr-helper/revision": text(largest) },
        },
      };
      await tenant({ method: "PATCH", path: secretPath(many[0] ?? "", "ecr-creds"), contentType, body }).catch(
        () => undefined,
      );
      const annotations = { [`ecr-helper/${parts.owner}`]: text(largest) };
      await tenant({
        method: "PATCH",
        path: accountPath(many[0] ?? ""),
        contentType,
        body: { metadata: { annotations } },
      });
    }
    assert.equal(helper.hasEnded, false);
    await parts.namespace(`team-${id}-late`);
    await helper.line(new RegExp(`secret/ecr-creds configured in namespace team-${id}-late`));
    const grown = memory() - before;
    assert.ok(grown < 40_000, `${String(grown)} kB more`);
  });
});
