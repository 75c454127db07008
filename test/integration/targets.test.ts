import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { createKubeClient } from "../../helper/kube/client.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import type { KubeRequest } from "../../helper/kube/types.ts";
import { createMatcher, parseSelector } from "../../helper/shared/namespace-rules.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { waitForObject, waitUntilGone } from "../local/watch.ts";
import { accountPath, secretPath, type Secret, type ServiceAccount } from "../support/kept-objects.ts";
import { kubeOptionsOf } from "../support/kube-options.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const merge = "application/merge-patch+json";
const timeout = 20_000;

describe("build namespaces by pattern and selector, with the stack's own rights", () => {
  const labels = { builds: id };
  const namespaces: Record<string, Record<string, string>> = {
    [`${id}-a`]: {},
    [`${id}-a-x`]: {},
    [`${id}-ab`]: labels,
    [`${id}-b`]: {},
    [`${id}-b-x`]: labels,
    [`${id}-c`]: labels,
    [`o-${id}`]: {},
    [`o-${id}-a`]: {},
    [`o-${id}-x`]: labels,
    [`p-${id}`]: labels,
  };
  let parts: Parts;

  before(async () => {
    // The helpers below have other rules than the stack, and its admission policies would deny their writes.
    parts = await makeParts([`${id}-*`], { config: { admissionPolicy: "false" } });
    for (const [name, own] of Object.entries(namespaces)) await parts.namespace(name, own);
  });

  after(async () => parts.remove());

  /** The namespaces that have this helper's secret of a name. */
  const holders = async (name: string): Promise<string[]> => {
    const selector = encodeURIComponent(`app.kubernetes.io/instance=${parts.owner}`);
    const path = `/api/v1/secrets?labelSelector=${selector}&fieldSelector=metadata.name%3D${name}`;
    const { items } = await parts.admin<{ items: Secret[] }>({ method: "GET", path });
    return items.map(({ metadata }) => metadata.namespace).sort();
  };

  const rules = {
    buildNamespaces: [`${id}-a*`, `${id}-?`, `*-${id}-a`, `o-${id}`],
    excludeNamespaces: ["*-x", `${id}-c`],
    namespaceSelector: `builds=${id}`,
  };
  for (const set of [1, 2, 3, 4, 5, 6, 7]) {
    const [patterns, exclusions, selector] = [1, 2, 4].map((bit) => (set & bit) !== 0);
    const chosen = {
      // At least one has to be a pattern: otherwise the helper would use the rights for named namespaces.
      buildNamespaces: patterns === true ? rules.buildNamespaces : [`none-${id}-*`],
      excludeNamespaces: exclusions === true ? rules.excludeNamespaces : [],
      namespaceSelector: selector === true ? rules.namespaceSelector : "",
    };
    const used = Object.entries({ patterns, exclusions, selector }).filter(([, isUsed]) => isUsed === true);
    it(`are those of ${used.map(([name]) => name).join(", ")}; the last helper's others are cleaned up`, async () => {
      const matches = createMatcher({ ...chosen, namespace: "" });
      const wanted = Object.entries(namespaces).filter(([name, own]) => matches(name, own));
      const helper = parts.run({
        ECR_HELPER_BUILD_NAMESPACES: chosen.buildNamespaces.join(","),
        ECR_HELPER_EXCLUDE_NAMESPACES: chosen.excludeNamespaces.join(","),
        ECR_HELPER_NAMESPACE_SELECTOR: chosen.namespaceSelector,
      });
      await helper.line(/the secret will expire/);
      const { code } = await helper.stop();
      assert.equal(code, 0);
      assert.deepEqual(await holders("ecr-creds"), wanted.map(([name]) => name).sort());
      assert.deepEqual(
        await holders("ecr-creds-pull"),
        [...wanted.map(([name]) => name), parts.owner.replace("ecr-helper", "it")].sort(),
      );
    });
  }
});

describe("a build namespace", () => {
  let parts: Parts;
  let helper: HelperProcess;

  before(async () => {
    parts = await makeParts([`${id}-*`], { config: { namespaceSelector: `builds=${id}` } });
    helper = parts.run();
    await helper.line(/the secret will expire/);
  });

  after(async () => parts.remove());

  const hasAll = async (namespace: string): Promise<Secret[]> => {
    const one = (collection: string, name: string): string =>
      `/api/v1/namespaces/${namespace}/${collection}?fieldSelector=metadata.name%3D${name}`;
    const [basic, pull] = await Promise.all([
      waitForObject<Secret>(parts.options, one("secrets", "ecr-creds"), () => true, timeout),
      waitForObject<Secret>(parts.options, one("secrets", "ecr-creds-pull"), () => true, timeout),
      waitForObject(parts.options, one("serviceaccounts", "builder-sa"), () => true, timeout),
    ]);
    return [basic, pull];
  };
  const hasNone = async (namespace: string): Promise<void> => {
    for (const name of ["ecr-creds", "ecr-creds-pull"]) {
      const path = `/api/v1/namespaces/${namespace}/secrets?fieldSelector=metadata.name%3D${name}`;
      await waitUntilGone(parts.options, path, timeout);
    }
  };
  const label = async (name: string, builds: string | null): Promise<void> =>
    parts.admin({
      method: "PATCH",
      path: `/api/v1/namespaces/${name}`,
      contentType: merge,
      body: { metadata: { labels: { builds } } },
    });

  it("gets its objects as soon as it is created", async () => {
    await parts.namespace(`${id}-new`);
    await hasAll(`${id}-new`);
  });

  it("gets them when its labels start to match, and loses them when they no longer match", async () => {
    const name = `labelled-${id}`;
    await parts.namespace(name);
    const theirs = {
      metadata: { name: "builder-sa" },
      secrets: [{ name: "theirs" }],
      imagePullSecrets: [{ name: "ecr-creds-pull" }],
    };
    await parts.admin({ method: "POST", path: `/api/v1/namespaces/${name}/serviceaccounts`, body: theirs });
    await label(name, id);
    await hasAll(name);
    await helper.line(new RegExp(`serviceaccount/builder-sa configured in namespace ${name}`));
    assert.deepEqual((await parts.account(name)).secrets, [{ name: "theirs" }, { name: "ecr-creds" }]);
    await label(name, null);
    await hasNone(name);
    await helper.line(new RegExp(`serviceaccount/builder-sa removed in namespace ${name}`));
    const { secrets, imagePullSecrets } = await parts.account(name);
    assert.deepEqual(secrets, [{ name: "theirs" }]);
    assert.deepEqual(imagePullSecrets, [{ name: "ecr-creds-pull" }], "the entry existed before the helper did");
  });

  it("loses a service account that the helper created, unless others use it, too", async () => {
    const [unused, shared] = [`unused-${id}`, `shared-${id}`];
    for (const name of [unused, shared]) {
      await parts.namespace(name, { builds: id });
      await hasAll(name);
    }
    const body = { secrets: [...((await parts.account(shared)).secrets ?? []), { name: "theirs" }] };
    await parts.admin({ method: "PATCH", path: accountPath(shared), contentType: merge, body });
    for (const name of [unused, shared]) {
      await label(name, null);
      await helper.line(new RegExp(`serviceaccount/builder-sa removed in namespace ${name}`));
    }
    await assert.rejects(parts.account(unused), (error: KubeError) => error.status === 404);
    const remaining = await parts.account(shared);
    assert.deepEqual([remaining.secrets, remaining.imagePullSecrets ?? []], [[{ name: "theirs" }], []]);
    assert.deepEqual(
      [remaining.metadata.labels, remaining.metadata.ownerReferences],
      [undefined, undefined],
      "it is not deleted with the stack",
    );
  });

  it("is not written to while it terminates, and gets new objects when it is created again", async () => {
    const name = `${id}-back`;
    await parts.namespace(name);
    const [first] = await hasAll(name);
    const from = helper.lines.length;
    await parts.admin({ method: "DELETE", path: `/api/v1/namespaces/${name}` });
    await waitUntilGone(parts.options, `/api/v1/namespaces?fieldSelector=metadata.name%3D${name}`, 60_000);
    await parts.namespace(name);
    const [again] = await hasAll(name);
    assert.notEqual(again?.metadata.uid, first?.metadata.uid);
    const alarms = helper.lines.slice(from).filter(({ level }) => level === "warn" || level === "error");
    assert.deepEqual(
      alarms.filter(({ namespace }) => namespace === name),
      [],
    );
  });

  it("keeps foreign objects when it no longer matches", async () => {
    const name = `other-${id}`;
    await parts.namespace(name, { builds: id });
    await hasAll(name);
    const theirs = { metadata: { name: "builder-sa-2" } };
    await parts.admin<ServiceAccount>({
      method: "POST",
      path: `/api/v1/namespaces/${name}/serviceaccounts`,
      body: theirs,
    });
    await label(name, null);
    await hasNone(name);
    await parts.admin({ method: "GET", path: `${accountPath(name)}-2` });
  });
});

describe("the rights for patterns and selectors", () => {
  let parts: Parts;
  before(async () => (parts = await makeParts([`${id}-r-*`])));
  after(async () => parts.remove());

  it("allow access to the helper's objects by name in every namespace, and to no other object", async () => {
    const namespace = `${id}-r-a`;
    await parts.namespace(namespace);
    const kube = createKubeClient(kubeOptionsOf(parts.cluster));
    const named = "fieldSelector=metadata.name%3Decr-creds";
    await kube({ method: "GET", path: `/api/v1/secrets?${named}` });
    await kube({ method: "GET", path: "/api/v1/namespaces" });
    const refused: KubeRequest[] = [
      { method: "GET", path: secretPath(namespace, "ecr-creds") },
      { method: "GET", path: secretPath(namespace, "other") },
      { method: "GET", path: "/api/v1/secrets" },
      { method: "GET", path: "/api/v1/secrets?fieldSelector=metadata.name%3Dother" },
      { method: "GET", path: `/api/v1/namespaces/${namespace}/secrets` },
      { method: "DELETE", path: secretPath(namespace, "other") },
      { method: "GET", path: "/api/v1/serviceaccounts" },
      { method: "GET", path: `/api/v1/namespaces/${namespace}` },
      { method: "PATCH", path: `/api/v1/namespaces/${namespace}`, contentType: merge, body: {} },
      { method: "GET", path: "/api/v1/events" },
      { method: "GET", path: "/apis/apps/v1/deployments" },
    ];
    for (const call of refused) {
      // The tests of the whole run (test/whole-run) ignore dry runs.
      const path = `${call.path}${call.path.includes("?") ? "&" : "?"}dryRun=All`;
      await assert.rejects(
        kube({ ...call, path }),
        (error: KubeError) => error.status === 403,
        `${call.method} ${call.path}`,
      );
    }
  });
});

describe("a label selector", () => {
  it("selects the same namespaces in the helper as in the API server, or is refused by both", async () => {
    const parts = await makeParts([`${id}-s-*`]);
    const prefix = `s-${id}`;
    const all: Record<string, string>[] = [
      {},
      { a: "" },
      { a: "1" },
      { a: "2", b: "1" },
      { b: "x" },
      { "e.com/a": "1" },
    ];
    for (const [index, own] of all.entries())
      await parts.namespace(`${prefix}-${String(index)}`, { ...own, set: prefix });
    const key = fc.constantFrom("a", "b", "e.com/a", "A_", "a/", "-", "");
    const value = fc.constantFrom("", "1", "2", "x", "-", "in", "notin");
    const space = fc.constantFrom("", " ");
    const values = fc.array(value, { maxLength: 3 }).map((list) => list.join(","));
    const requirement = fc.oneof(
      fc.tuple(fc.constantFrom("", "!", "! "), key).map((one) => one.join("")),
      fc.tuple(key, space, fc.constantFrom("=", "==", "!=", ">", "<", "==="), space, value).map((one) => one.join("")),
      fc
        .tuple(key, fc.constantFrom(" in ", " notin ", " in", " is "), values)
        .map(([k, op, list]) => `${k}${op}(${list})`),
    );
    const selectors = fc.array(requirement, { minLength: 1, maxLength: 3 }).map((some) => some.join(","));
    try {
      await fc.assert(
        fc.asyncProperty(selectors, async (selector) => {
          const path = `/api/v1/namespaces?labelSelector=${encodeURIComponent(`set=${prefix},${selector}`)}`;
          const listed = await parts
            .admin<{ items: { metadata: { name: string } }[] }>({ method: "GET", path })
            .then(({ items }) => items.map(({ metadata }) => metadata.name).join(" "))
            .catch((error: unknown) => {
              assert.equal((error as KubeError).status, 400);
              return "refused";
            });
          let own = "refused";
          try {
            const matches = parseSelector(selector);
            own = all.flatMap((one, index) => (matches(one) ? `${prefix}-${String(index)}` : [])).join(" ");
          } catch (error) {
            assert.match(String(error), /is none of KEY/);
          }
          assert.equal(own, listed);
        }),
        { numRuns: 400 },
      );
    } finally {
      await parts.remove();
    }
  });
});
