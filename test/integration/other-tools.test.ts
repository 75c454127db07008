// What tools for backup, GitOps and copying do to the kept objects, as helper/README.md says: Velero, Flux, Argo CD,
// kubernetes-replicator.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { HelperProcess } from "../support/helper-process.ts";
import { waitForObject } from "../local/watch.ts";
import { accountPath, secretPath, type Secret, type ServiceAccount } from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const timeout = 20_000;

/** An object of Kubernetes with all that it has. */
interface Whole {
  metadata: Record<string, unknown>;
}

/**
 * An object as Velero restores it: without what resetMetadata in its pkg/restore/restore.go takes away, and with the labels
 * of the restore. It keeps managedFields.
 */
function asRestored<T extends Whole>({ metadata, ...rest }: T): T {
  const dropped = ["uid", "resourceVersion", "generation", "creationTimestamp", "ownerReferences"];
  const kept = Object.fromEntries(Object.entries(metadata).filter(([key]) => !dropped.includes(key)));
  const labels = { ...(metadata["labels"] as object), "velero.io/restore-name": "restore" };
  return { ...rest, metadata: { ...kept, labels } } as unknown as T;
}

/** The same secret as it was before the last refresh. */
function asOfEarlier({ metadata, ...rest }: Whole): Whole {
  const annotations = { ...(metadata["annotations"] as object), "ecr-helper/revision": "0123456789abcdef" };
  const { data } = rest as unknown as { data: Record<string, string> };
  const old = "password" in data ? { password: "b2xk" } : { ".dockerconfigjson": "e30=" };
  return { ...rest, metadata: { ...metadata, annotations }, data: { ...data, ...old } } as Whole;
}

describe("what other tools do to the kept objects", () => {
  let parts: Parts;
  let helper: HelperProcess;
  let count = 0;

  const start = async (): Promise<void> => {
    helper = parts.run();
    await helper.line(/the secret will expire/);
  };

  before(async () => {
    parts = await makeParts([`${id}-*`]);
    await start();
  });

  after(async () => parts.remove());

  const selected = (namespace: string, collection: string, name: string): string =>
    `/api/v1/namespaces/${namespace}/${collection}?fieldSelector=metadata.name%3D${name}`;
  const has = (list: readonly { name: string }[] = [], name: string): boolean => list.some((one) => one.name === name);
  const isComplete = ({ secrets, imagePullSecrets }: ServiceAccount): boolean =>
    has(secrets, "ecr-creds") && has(imagePullSecrets, "ecr-creds-pull");
  const accountWhen = async (
    namespace: string,
    wanted: (account: ServiceAccount) => boolean,
  ): Promise<ServiceAccount> =>
    waitForObject(parts.options, selected(namespace, "serviceaccounts", "builder-sa"), wanted, timeout);
  const fresh = async (): Promise<string> => {
    const namespace = `${id}-${String(++count)}`;
    await parts.namespace(namespace);
    await accountWhen(namespace, isComplete);
    return namespace;
  };
  const pathsIn = (namespace: string): string[] =>
    ["ecr-creds", "ecr-creds-pull"].map((name) => secretPath(namespace, name));
  /** Resolves once the secrets have the content and the owners that they had. */
  const waitUntilRight = async (namespace: string, wanted: readonly Secret[]): Promise<void> => {
    for (const [index, name] of ["ecr-creds", "ecr-creds-pull"].entries()) {
      const { data, metadata } = wanted[index] ?? assert.fail();
      const isRight = (one: Secret): boolean =>
        JSON.stringify(one.data) === JSON.stringify(data) &&
        one.metadata.annotations["ecr-helper/revision"] === metadata.annotations["ecr-helper/revision"] &&
        one.metadata.ownerReferences?.length === metadata.ownerReferences?.length;
      await waitForObject(parts.options, selected(namespace, "secrets", name), isRight, timeout);
    }
  };
  const readAll = async (namespace: string): Promise<Secret[]> =>
    Promise.all(pathsIn(namespace).map(async (path) => parts.admin<Secret>({ method: "GET", path })));

  it("is put right when Velero restores a backup over them", async () => {
    const namespace = await fresh();
    const before = await readAll(namespace);
    assert.equal(before[0]?.metadata.ownerReferences?.length, 2);
    for (const [index, path] of pathsIn(namespace).entries()) {
      const body = asOfEarlier(asRestored(before[index] as unknown as Whole));
      await parts.admin({ method: "PUT", path, body });
    }
    const path = accountPath(namespace);
    await parts.admin({ method: "PUT", path, body: asRestored(await parts.admin<Whole>({ method: "GET", path })) });
    await waitUntilRight(namespace, before);
    await accountWhen(namespace, ({ metadata }) => metadata.ownerReferences?.length === 2);
  });

  it("is put right when Velero has restored them before the helper starts", async () => {
    const namespace = await fresh();
    const before = await readAll(namespace);
    const path = accountPath(namespace);
    const account = await parts.admin<Whole>({ method: "GET", path });
    await helper.stop();
    for (const one of [...pathsIn(namespace), path]) await parts.admin({ method: "DELETE", path: one });
    const restored = before.map((one) => asOfEarlier(asRestored(one as unknown as Whole)));
    for (const body of restored)
      await parts.admin({ method: "POST", path: `/api/v1/namespaces/${namespace}/secrets`, body });
    const collection = path.replace(/\/[^/]+$/, "");
    await parts.admin({ method: "POST", path: collection, body: asRestored(account) });
    await start();
    await waitUntilRight(namespace, before);
    await accountWhen(namespace, (one) => one.metadata.ownerReferences?.length === 2 && isComplete(one));
  });

  it("is no fight with a service account in Git without these lists, or with the helper's entries in them", async () => {
    const namespace = await fresh();
    const apply = async (lists: object): Promise<ServiceAccount> =>
      parts.admin({
        method: "PATCH",
        path: `${accountPath(namespace)}?fieldManager=kustomize-controller&force=true`,
        contentType: "application/apply-patch+yaml",
        body: {
          apiVersion: "v1",
          kind: "ServiceAccount",
          metadata: { labels: { "kustomize.toolkit.fluxcd.io/name": "apps" } },
          ...lists,
        },
      });
    const theirs = { name: "theirs" };
    for (const lists of [
      {},
      { secrets: [{ name: "ecr-creds" }], imagePullSecrets: [theirs, { name: "ecr-creds-pull" }] },
    ]) {
      const applied = await apply(lists);
      assert.ok(isComplete(applied));
      // The helper has seen it by the time that it has put back what came after it.
      await parts.admin({ method: "DELETE", path: secretPath(namespace, "ecr-creds") });
      await waitForObject(parts.options, selected(namespace, "secrets", "ecr-creds"), () => true, timeout);
      assert.equal((await parts.account(namespace)).metadata.resourceVersion, applied.metadata.resourceVersion);
    }
    // Without them in the list, which is replaced as a whole, each apply takes the helper's entry away.
    const taken = await apply({ imagePullSecrets: [theirs] });
    assert.ok(!isComplete(taken));
    const { imagePullSecrets } = await accountWhen(namespace, isComplete);
    assert.ok(has(imagePullSecrets, "theirs"));
  });

  it("has copies removed that carry the helper's labels, outside of build namespaces, and others left alone", async () => {
    const [source, elsewhere] = [await fresh(), `other-${id}`];
    await parts.namespace(elsewhere);
    const { data } = await parts.secret(source, "ecr-creds-pull");
    const { metadata } = await parts.admin<Whole>({ method: "GET", path: secretPath(source, "ecr-creds-pull") });
    const labels = metadata["labels"] as Record<string, string>;
    const path = `/api/v1/namespaces/${elsewhere}/secrets`;
    const copy = async (name: string, type: string, copied: object, of: Record<string, string>): Promise<unknown> =>
      parts.admin({ method: "POST", path, body: { metadata: { name, labels: of }, type, data: copied } });
    await copy("ecr-creds", "Opaque", { password: "eA==" }, {});
    await copy("ecr-creds-pull", "kubernetes.io/dockerconfigjson", data, labels);
    await helper.line(new RegExp(`secret/ecr-creds-pull .*${elsewhere}`));
    const { items } = await parts.admin<{ items: Whole[] }>({ method: "GET", path });
    assert.deepEqual(
      items.map((one) => one.metadata["name"]),
      ["ecr-creds"],
    );
  });
});
