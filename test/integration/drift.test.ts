import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { KubeError } from "../../helper/kube/errors.ts";
import type { KubeRequest } from "../../helper/kube/types.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { waitForObject } from "../local/watch.ts";
import { accountPath, secretPath, type Secret, type ServiceAccount } from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const timeout = 20_000;

const merge = (path: string, body: object, manager = "somebody"): KubeRequest => ({
  method: "PATCH",
  path: `${path}?fieldManager=${manager}`,
  contentType: "application/merge-patch+json",
  body,
});
const annotate = (annotations: Record<string, string | null>) => (path: string) =>
  merge(path, { metadata: { annotations } });
const password = { data: { password: "eA==", ".dockerconfigjson": "e30=" } };

/** Changes of a secret by other clients. */
const changes: Record<string, (path: string) => KubeRequest> = {
  "is deleted": (path) => ({ method: "DELETE", path }),
  "gets another content": (path) => merge(path, password),
  "gets another content under the helper's own name": (path) => merge(path, password, "ecr-helper"),
  "gets another content by an apply with force": (path) => ({
    method: "PATCH",
    path: `${path}?fieldManager=somebody&force=true`,
    contentType: "application/apply-patch+yaml",
    body: { apiVersion: "v1", kind: "Secret", ...password },
  }),
  "loses its annotations": (path) => merge(path, { metadata: { annotations: null } }),
  "gets another end": annotate({ "ecr-helper/expires-at": "2099-01-01T00:00:00Z" }),
  "gets another revision": annotate({ "ecr-helper/revision": "0" }),
  "loses its owner": (path) => merge(path, { metadata: { ownerReferences: null } }),
};
/** What only a login for builds takes: the API server refuses a docker config without its key. */
const basicDeeds: Record<string, (path: string) => KubeRequest> = {
  "is emptied": (path) => merge(path, { data: { username: "", password: "" } }),
  "loses a key": (path) => merge(path, { data: { username: null } }),
  "loses its endpoint for Tekton": annotate({ "tekton.dev/docker-0": null }),
  "gets another endpoint for Knative": annotate({ "build.knative.dev/docker-0": "https://elsewhere" }),
};

describe("an object that the helper created", () => {
  let parts: Parts;
  let helper: HelperProcess;
  let count = 0;

  before(async () => {
    parts = await makeParts([`${id}-*`]);
    helper = parts.run();
    await helper.line(/the secret will expire/);
  });

  after(async () => parts.remove());

  const one = (namespace: string, collection: string, name: string): string =>
    `/api/v1/namespaces/${namespace}/${collection}?fieldSelector=metadata.name%3D${name}`;
  const isComplete = ({ secrets, imagePullSecrets }: ServiceAccount): boolean =>
    secrets?.some(({ name }) => name === "ecr-creds") === true &&
    imagePullSecrets?.some(({ name }) => name === "ecr-creds-pull") === true;

  /** A separate namespace for each case, because the helper reverts repeated edits of an object with backoff. */
  const fresh = async (): Promise<string> => {
    const namespace = `${id}-${String(++count)}`;
    await parts.namespace(namespace);
    await waitForObject(parts.options, one(namespace, "serviceaccounts", "builder-sa"), isComplete, timeout);
    return namespace;
  };
  const content = ({ type, data, metadata }: Secret): object => ({
    type,
    data,
    annotations: metadata.annotations,
    owners: metadata.ownerReferences,
  });

  for (const [name, all] of [
    ["ecr-creds", { ...changes, ...basicDeeds }],
    ["ecr-creds-pull", changes],
  ] as const) {
    for (const [what, deed] of Object.entries(all)) {
      it(`is restored at once when ${name} ${what}`, async () => {
        const namespace = await fresh();
        const before = await parts.secret(namespace, name);
        const changed = await parts.admin<Partial<Secret>>(deed(secretPath(namespace, name)));
        const since = Number(changed.metadata?.resourceVersion ?? before.metadata.resourceVersion);
        const isBack = ({ metadata }: Secret): boolean => Number(metadata.resourceVersion) > since;
        const restored = await waitForObject(parts.options, one(namespace, "secrets", name), isBack, timeout);
        const extra = Object.keys(restored.data).filter((key) => !(key in before.data));
        for (const key of extra) Reflect.deleteProperty(restored.data, key);
        assert.deepEqual(content(restored), content(before));
      });
    }
  }

  it("is restored at once when the service account is deleted or loses the helper's entries", async () => {
    for (const deed of [
      (path: string): KubeRequest => ({ method: "DELETE", path }),
      (path: string): KubeRequest => merge(path, { secrets: null, imagePullSecrets: [{ name: "theirs" }] }),
    ]) {
      const namespace = await fresh();
      const changed = await parts.admin<Partial<ServiceAccount>>(deed(accountPath(namespace)));
      const restored = await waitForObject<ServiceAccount>(
        parts.options,
        one(namespace, "serviceaccounts", "builder-sa"),
        isComplete,
        timeout,
      );
      const theirs = (changed.imagePullSecrets ?? []).filter(({ name }) => name === "theirs");
      assert.deepEqual(restored.imagePullSecrets, [...theirs, { name: "ecr-creds-pull" }]);
    }
  });

  it("is left alone when others add to it", async () => {
    const namespace = await fresh();
    const path = secretPath(namespace, "ecr-creds");
    const added = await parts.admin<Secret>(merge(path, { metadata: { labels: { team: "a" } } }));
    // The helper has seen it by the time it has put back what came after it.
    await parts.admin({ method: "DELETE", path: secretPath(namespace, "ecr-creds-pull") });
    await waitForObject(parts.options, one(namespace, "secrets", "ecr-creds-pull"), () => true, timeout);
    assert.equal((await parts.secret(namespace)).metadata.resourceVersion, added.metadata.resourceVersion);
  });

  it("is restored with increasing delay under repeated edits, which an Event reports", async () => {
    const namespace = await fresh();
    const over = new AbortController();
    let fights = 0;
    const fight = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const isRight = ({ data }: Secret): boolean => data["password"] !== "eA==";
        await waitForObject(parts.options, one(namespace, "secrets", "ecr-creds"), isRight, timeout, over.signal);
        await parts.admin(merge(secretPath(namespace, "ecr-creds"), { data: { password: "eA==" } }, "fighter"));
        fights++;
      }
    };
    const fighting = fight().catch((error: unknown) => {
      if (!over.signal.aborted) throw error;
    });
    const path = `/api/v1/namespaces/${namespace}/events?fieldSelector=reason%3DContested`;
    const { message } = await waitForObject<{ message: string }>(parts.options, path, () => true, timeout);
    over.abort();
    await fighting;
    assert.match(message, /secret\/ecr-creds was changed by fighter, 3 times in a row/);
    assert.ok(fights <= 4, `${String(fights)} rounds`);
  });

  it("keeps its entries and another client's thirty through a thousand concurrent edits", async () => {
    const namespace = `${id}-shared`;
    await parts.namespace(namespace);
    await waitForObject(parts.options, one(namespace, "serviceaccounts", "builder-sa"), isComplete, timeout);
    const path = accountPath(namespace);
    const names = Array.from({ length: 30 }, (_, index) => ({ name: `theirs-${String(index)}` }));
    const theirs = (list: readonly { name: string }[] = []): string[] =>
      list.map(({ name }) => name).filter((name) => name.startsWith("theirs"));
    /** As a careful client writes: what it read, with its change, at the version it read. */
    const edit = async (change: (account: ServiceAccount) => void): Promise<void> => {
      for (;;) {
        const account = await parts.account(namespace);
        change(account);
        const written = await parts.admin({ method: "PUT", path, body: account }).then(
          () => true,
          (error: unknown) => {
            if (error instanceof KubeError && error.status === 409) return false;
            throw error;
          },
        );
        if (written) return;
      }
    };
    await edit((account) => {
      account.secrets = [...names, ...(account.secrets ?? [])];
      account.imagePullSecrets = [...names, ...(account.imagePullSecrets ?? [])];
    });
    let order = names.map(({ name }) => name);
    for (let round = 0; round < 1_000; round++) {
      // Another order each time, and now and then without the helper's entry.
      const next = [...order.slice(7), ...order.slice(0, 7)];
      await edit((account) => {
        assert.deepEqual(theirs(account.imagePullSecrets), order, `round ${String(round)}`);
        assert.equal(theirs(account.secrets).length, names.length);
        const others = (account.imagePullSecrets ?? []).filter(({ name }) => !name.startsWith("theirs"));
        account.imagePullSecrets = [...next.map((name) => ({ name })), ...(round % 50 === 0 ? [] : others)];
      });
      order = next;
    }
    const { imagePullSecrets } = await parts.account(namespace);
    assert.deepEqual(theirs(imagePullSecrets), order);
    assert.ok(
      helper.lines.some(
        ({ message, namespace: where }) => where === namespace && /lost an entry; it was put back/.test(message),
      ),
    );
  });
});
