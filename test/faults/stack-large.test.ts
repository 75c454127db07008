// A stack with a thousand build namespaces, each with a foreign service account that the helper extends.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { inParallel } from "../../helper/runtime/parallel.ts";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { waitFor } from "../local/watch.ts";
import { ProxiedStack } from "./proxied-stack.ts";
import { deleteObject, kube, makeNamespace, options } from "./stack-resources.ts";

const size = 1_000;
const name = `fl-${randomBytes(3).toString("hex")}`;
const builds = Array.from({ length: size }, (_, index) => `build-${name}-${String(index)}`);

interface Account {
  metadata: { name: string; namespace: string; annotations?: Record<string, string> };
  secrets?: { name: string }[];
}

/** Deletes a namespace with its content: Kubernetes takes minutes for a thousand, in which other tests would wait for theirs. */
async function remove(build: string): Promise<void> {
  const path = `/api/v1/namespaces/${build}`;
  await deleteObject(path);
  for (const kind of ["serviceaccounts", "configmaps", "events"]) await deleteObject(`${path}/${kind}`);
  const body = { apiVersion: "v1", kind: "Namespace", metadata: { name: build }, spec: { finalizers: [] } };
  await undefinedIfNotFound(kube({ method: "PUT", path: `${path}/finalize`, body }));
}

// Kubernetes garbage-collects the helper's objects at its own pace, and destroy waits for it.
describe(`destroy of a stack with ${String(size)} build namespaces`, { timeout: 480_000 }, () => {
  let stack: ProxiedStack;

  before(async () => {
    await inParallel(builds, 32, async (build) => {
      await makeNamespace(build);
      const body = { metadata: { name: "builder-sa" }, secrets: [{ name: "theirs" }] };
      await kube({ method: "POST", path: `/api/v1/namespaces/${build}/serviceaccounts`, body });
    });
    stack = await ProxiedStack.make(name, [`buildNamespaces=["build-${name}-*"]`]);
  });

  after(async () => {
    await stack.end();
    await inParallel(builds, 32, remove);
  });

  it("removes the helper's entries from all of them, and leaves nothing", { timeout: 420_000 }, async (t) => {
    const up = await stack.up();
    assert.equal(up.code, 0, up.output);
    const accounts = "/api/v1/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa";
    const extended = new Set<string>();
    const areAll = ({ object }: { object: Account | undefined }): boolean => {
      const { metadata, secrets = [] } = object ?? {};
      if (metadata !== undefined && builds.includes(metadata.namespace) && secrets.length === 2)
        extended.add(metadata.namespace);
      return extended.size === size;
    };
    await waitFor<Account>(options, accounts, areAll, 120_000);

    const down = await stack.destroy();
    assert.equal(down.code, 0, down.output);
    await stack.assertCleanedUp();
    const { items } = await kube<{ items: Account[] }>({ method: "GET", path: accounts });
    const own = items.filter(({ metadata }) => builds.includes(metadata.namespace));
    assert.equal(own.length, size);
    for (const { metadata, secrets } of own) {
      assert.deepEqual([metadata.annotations ?? {}, secrets], [{}, [{ name: "theirs" }]]);
    }
    const held = `${String(size)} foreign service accounts are as they were`;
    t.diagnostic(
      `outcome: destroy with ${String(size)} namespaces | ${held} | recovered after ${String(down.milliseconds)} ms`,
    );
  });
});
