// A secret that exists is written in one of three ways, by who has written it before. What others have in it stays in each of them,
// and what they have written since is never lost.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, beforeEach, describe, it } from "node:test";
import { ClusterCache } from "../../helper/cache/cluster-cache.ts";
import type { CachedSecret } from "../../helper/cache/cached-objects.ts";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import { applyRequest } from "../../helper/controller/secret-writer.ts";
import { Writer } from "../../helper/controller/writer.ts";
import { createKubeClient } from "../../helper/kube/client.ts";
import { isConflict } from "../../helper/kube/errors.ts";
import type { Kube, KubeRequest, ManagedFields, PartialObjectMetadata } from "../../helper/kube/types.ts";
import type { OwnerReference } from "../../helper/resources/owners.ts";
import { desiredSecrets } from "../../helper/resources/secrets.ts";
import type { DesiredSecret, Secret } from "../../helper/resources/types.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { kubeconfig } from "../local/settings.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { decode, secretPath } from "../support/kept-objects.ts";
import { TestNamespaces } from "../support/test-namespaces.ts";

type Stored = PartialObjectMetadata & Secret & { metadata: { finalizers?: string[] } };

const id = `writes-${randomBytes(3).toString("hex")}`;
const hosts = ["111122223333", "444455556666"].map((one) => `${one}.dkr.ecr.eu-west-1.amazonaws.com`);
const withHosts = (...some: readonly string[]): HelperConfig =>
  readConfig({
    ...helperEnvironment,
    ECR_HELPER_OWNER_NAME: `ecr-helper-${id}`,
    ECR_HELPER_REGISTRIES: some.join(","),
  });
const [config, fewer] = [withHosts(...hosts), withHosts(...hosts.slice(0, 1))];
const { signal } = new AbortController();
const roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
/** What somebody else adds to a secret. */
const additions = {
  metadata: { labels: { team: "a" }, annotations: { "example.com/id": "1" }, finalizers: ["example.com/wait"] },
  data: { extra: "eHh4" },
};

describe("a secret that exists", () => {
  Object.assign(process.env, cloudEnvironment());
  const kube = createKubeClient(readKubeconfig(kubeconfig));
  const testNamespaces = new TestNamespaces(kube);
  const owners: OwnerReference[] = [];
  let [namespace, path, count] = ["", "", 0];

  before(async () => {
    for (const name of [`ecr-helper-${id}`, `ecr-helper-${id}-owner`]) {
      const { metadata } = await kube<Stored>({ method: "POST", path: roles, body: { metadata: { name }, rules: [] } });
      owners.push({ apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", name, uid: metadata.uid });
    }
  });

  beforeEach(async () => {
    namespace = `${id}-${String(++count)}`;
    path = secretPath(namespace, "ecr-creds");
    await testNamespaces.create(namespace);
  });

  after(async () => {
    for (const { name } of owners) await kube({ method: "DELETE", path: `${roles}/${name}` });
    await testNamespaces.remove(`${id}-1`);
  });

  const cacheOf = (of: HelperConfig): ClusterCache =>
    new ClusterCache(
      of,
      () => undefined,
      (_, error) => assert.fail(String(error)),
      () => undefined,
    );
  const stored = async (): Promise<Stored> => kube<Stored>({ method: "GET", path });
  const seen = async (of = config): Promise<CachedSecret> => cacheOf(of).projectSecret("ecr-creds", await stored());
  const desired = (password: string, of = config, by: readonly OwnerReference[] = owners): DesiredSecret => {
    const token = { username: "AWS", password, issuedAt: 0, expiresAt: 1 };
    const all = desiredSecrets(of, new Map([["eu-west-1", token]]), by);
    return all.find(({ name }) => name === "ecr-creds") ?? assert.fail();
  };
  /** Writes it as what was seen has to be written, and returns by which request. */
  const write = async (secret: DesiredSecret, found: CachedSecret | undefined): Promise<string> => {
    const requests: KubeRequest[] = [];
    const recording: Kube = async (request) => {
      requests.push(request);
      return kube(request);
    };
    await new Writer(recording, config, cacheOf(config)).writeSecret(namespace, secret, found, signal);
    return requests.map(({ method, contentType = "" }) => `${method} ${contentType}`).join();
  };
  const [put, patch, apply] = [
    "PUT application/vnd.kubernetes.protobuf",
    "PATCH application/strategic-merge-patch+json",
    "PATCH application/apply-patch+yaml",
  ];
  /** Somebody else changes it by a merge patch. */
  const edit = async (body: object, manager = "theirs"): Promise<unknown> =>
    kube({
      method: "PATCH",
      path: `${path}?fieldManager=${manager}`,
      contentType: "application/merge-patch+json",
      body,
    });
  /** Asserts that it has this password, is as the helper wants it, and has been written by these managers. */
  const assertIs = async (password: string, managers: readonly string[], of = config): Promise<Stored> => {
    const [found, known] = [await stored(), await seen(of)];
    assert.equal(decode(found.data["password"]), password);
    assert.equal(known.modifiedBy, undefined);
    const entries: readonly ManagedFields[] = found.metadata.managedFields ?? [];
    assert.deepEqual(
      entries.map(({ manager, operation }) => `${String(manager)} ${String(operation)}`).sort(),
      managers,
    );
    return found;
  };
  const [applied, replaced, theirs] = ["ecr-helper Apply", "ecr-helper-refresh Update", "theirs Update"];
  /** Asserts that what somebody else added is there. */
  const assertHasAdditions = ({ metadata, data }: Stored): void => {
    const { labels = {}, annotations = {}, finalizers } = metadata;
    assert.deepEqual([labels["team"], annotations["example.com/id"], data["extra"]], ["a", "1", "eHh4"]);
    assert.deepEqual(finalizers, additions.metadata.finalizers);
  };
  /** Lets the namespace end. */
  const release = async (): Promise<unknown> => edit({ metadata: { finalizers: null } });

  it("is replaced where nobody else has written it, and then is one manager's", async () => {
    assert.equal(await write(desired("one"), undefined), apply);
    await assertIs("one", [applied]);
    for (const password of ["two", "three"]) {
      assert.equal(await write(desired(password), await seen()), put);
      const { metadata } = await assertIs(password, [replaced]);
      assert.deepEqual(metadata.ownerReferences, owners);
    }
  });

  it("is replaced without what is not wanted any more", async () => {
    await write(desired("one"), undefined);
    assert.equal(await write(desired("two", fewer), await seen(fewer)), put);
    const { metadata } = await assertIs("two", [replaced], fewer);
    assert.equal(metadata.annotations?.["tekton.dev/docker-1"], undefined);
  });

  it("is put right by a replacement where somebody took away what the helper wrote", async () => {
    await write(desired("one"), undefined);
    await edit({ metadata: { annotations: { "tekton.dev/docker-0": null }, ownerReferences: null } });
    assert.equal((await seen()).modifiedBy, "an unknown field manager");
    assert.equal(await write(desired("one"), await seen()), put);
    const { metadata } = await assertIs("one", [replaced]);
    assert.deepEqual(metadata.ownerReferences, owners);
  });

  it("keeps what others have added, whether that came before the first refresh or after it", async () => {
    await write(desired("one"), undefined);
    await edit(additions);
    assert.equal(await write(desired("two"), await seen()), patch);
    assertHasAdditions(await assertIs("two", [applied, replaced, theirs]));
    assert.equal(await write(desired("three", fewer), await seen(fewer)), patch);
    const found = await assertIs("three", [applied, replaced, theirs], fewer);
    assertHasAdditions(found);
    assert.equal(
      found.metadata.annotations?.["tekton.dev/docker-1"],
      undefined,
      "a host that is not configured any more",
    );
    await release();
  });

  it("keeps what nobody owns: what a webhook has added, and all where somebody has reset the managed fields", async () => {
    await write(desired("one"), undefined);
    const { metadata } = await stored();
    await edit(additions);
    await edit({ metadata: { managedFields: metadata.managedFields } });
    await assertIs("one", [applied]);
    assert.equal(await write(desired("two"), await seen()), patch);
    assertHasAdditions(await assertIs("two", [applied, replaced]));
    await edit({ metadata: { managedFields: [{}] } });
    assert.equal(await write(desired("three"), await seen()), apply);
    assertHasAdditions(await assertIs("three", ["before-first-apply Update", applied]));
    await release();
  });

  it("keeps others' owners, and loses the stack's that are gone", async () => {
    await write(desired("one"), undefined);
    await write(desired("two"), await seen());
    const { metadata } = await stored();
    const other = { apiVersion: "v1", kind: "Secret", name: "ecr-creds", uid: metadata.uid };
    await edit({ metadata: { ownerReferences: [...owners, other] } });
    assert.equal(await write(desired("three", config, owners.slice(0, 1)), await seen()), patch);
    assert.deepEqual((await stored()).metadata.ownerReferences, [owners[0], other]);
    assert.equal(await write(desired("four", config, []), await seen()), patch);
    assert.deepEqual((await stored()).metadata.ownerReferences, [other]);
    assert.equal(await write(desired("five"), await seen()), patch);
    assert.deepEqual(new Set((await stored()).metadata.ownerReferences), new Set([...owners, other]));
  });

  it("is taken back by an apply where others have changed it, even to what is right", async () => {
    await write(desired("one"), undefined);
    await write(desired("two"), await seen());
    await edit({ ...additions, data: { ...additions.data, password: "eHh4" } });
    assert.equal((await seen()).modifiedBy, "theirs");
    assert.equal(await write(desired("two"), await seen()), apply);
    assertHasAdditions(await assertIs("two", [applied, replaced, theirs]));
    await edit({ data: { password: "eHh4" } }, "fighter");
    await edit({ data: { password: "dHdv" } }, "fighter");
    assert.equal((await seen()).modifiedBy, "fighter");
    assert.equal(await write(desired("two"), await seen()), apply);
    assertHasAdditions(await assertIs("two", [applied, replaced, "fighter Update", theirs]));
    await release();
  });

  for (const [way, prepare] of [
    [put, async () => Promise.resolve()],
    [patch, async () => edit({ metadata: { labels: { team: "a" } } })],
    [apply, async () => edit({ data: { password: "eHh4" } })],
  ] as const) {
    it(`is a conflict where somebody has written it since: ${way}`, async () => {
      await write(desired("one"), undefined);
      await prepare();
      const found = await seen();
      await edit({ data: { password: "eHl6" } }, "faster");
      await assert.rejects(write(desired("two"), found), isConflict);
      assert.equal(decode((await stored()).data["password"]), "xyz");
    });
  }

  it("is written all the same where the watch is behind, or tells nothing any more", async () => {
    await write(desired("one"), undefined);
    const found = await seen();
    await edit(additions);
    assert.equal(await write(desired("two"), found), [put, "GET ", patch].join());
    assertHasAdditions(await assertIs("two", [applied, replaced, theirs]));
    await release();
    await kube({ method: "DELETE", path });
    assert.equal(await write(desired("three"), found), [put, "GET ", apply].join());
    await assertIs("three", [applied]);
    await kube({ method: "DELETE", path });
    const body = { metadata: { name: "ecr-creds" }, stringData: { password: "theirs" } };
    await kube({ method: "POST", path: path.replace(/\/[^/]+$/, ""), body });
    await assert.rejects(write(desired("four"), found), /exists and was not made by this helper/);
  });

  it("of an earlier version, which applied it, and by which it may be written again, is taken over", async () => {
    await write(desired("one"), undefined);
    await write(desired("two"), await seen());
    const again = applyRequest(path, desired("three").toApply(), false);
    await assert.rejects(kube({ ...again, signal }), isConflict, "an earlier version decides again, and then forces");
    await kube({ ...applyRequest(path, desired("three").toApply(), true), signal });
    assert.equal(await write(desired("four"), await seen()), put);
    await assertIs("four", [replaced]);
  });
});
