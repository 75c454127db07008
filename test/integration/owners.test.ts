// The ClusterRoles that own the helper's objects are lost and made again, with Kubernetes' own garbage collector at work.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it, type TestContext } from "node:test";
import { ownerReference } from "../../helper/resources/owners.ts";
import { ownerNames } from "../../helper/shared/ownership.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { ports } from "../local/settings.ts";
import { waitFor, waitForObject } from "../local/watch.ts";
import { accountPath, secretPath } from "../support/kept-objects.ts";
import { exampleUid } from "../support/owners.ts";
import { SecretMonitor } from "../support/secret-monitor.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

interface Owned {
  metadata: { uid: string; name: string; namespace: string; ownerReferences?: { uid: string; name: string }[] };
}

const id = randomBytes(3).toString("hex");
const namespaces = Array.from({ length: 12 }, (_, index) => `own-${id}-${String(index)}`);
const [first = "", second = ""] = namespaces;
const timeout = 60_000;
const rolePath = (name: string): string => `/apis/rbac.authorization.k8s.io/v1/clusterroles/${name}`;

describe("the owners of what the helper keeps", () => {
  let parts: Parts;
  let helper: HelperProcess;
  let owners: readonly [string, string];
  const uids = new Map<string, string>();
  let rules: object[];

  before(async () => {
    parts = await makeParts(namespaces);
    owners = ownerNames({ owner: parts.owner });
    for (const name of owners) {
      const role = await parts.admin<Owned & { rules: object[] }>({ method: "GET", path: rolePath(name) });
      uids.set(name, role.metadata.uid);
      ({ rules } = role);
    }
    helper = await start();
  });

  after(async () => parts.remove());

  const start = async (): Promise<HelperProcess> => {
    const started = parts.run();
    await started.line(/the secret will expire/);
    return started;
  };
  const lose = async (name: string): Promise<unknown> => parts.admin({ method: "DELETE", path: rolePath(name) });
  const makeAgain = async (name: string): Promise<void> => {
    const body = { metadata: { name }, rules };
    const made = await parts.admin<Owned>({ method: "POST", path: rolePath("").replace(/\/$/, ""), body });
    uids.set(name, made.metadata.uid);
  };
  const uidsOf = (names: readonly string[]): string =>
    names
      .map((name) => uids.get(name))
      .sort()
      .join();
  const ownersOf = ({ metadata }: Owned): string =>
    (metadata.ownerReferences ?? [])
      .map(({ uid }) => uid)
      .sort()
      .join();
  const selected = (plural: string): string =>
    `/api/v1/${plural}?labelSelector=${encodeURIComponent(`app.kubernetes.io/instance=${parts.owner}`)}`;

  /** Resolves when all of the helper's objects exist and have these owners. */
  const waitUntilOwnedBy = async (names: readonly string[]): Promise<void> => {
    const wanted = uidsOf(names);
    for (const [plural, count] of [
      ["secrets", 2 * namespaces.length + 1],
      ["serviceaccounts", namespaces.length],
    ] as const) {
      const found = new Map<string, string>();
      const isReached = ({ type, object }: { type: string; object: Owned | undefined }): boolean => {
        const key = `${object?.metadata.namespace ?? ""}/${object?.metadata.name ?? ""}`;
        if (object !== undefined && type === "DELETED") found.delete(key);
        else if (object !== undefined) found.set(key, ownersOf(object));
        return found.size === count && [...found.values()].every((one) => one === wanted);
      };
      await waitFor<Owned>(parts.options, selected(plural), isReached, timeout);
    }
  };
  /** The helper's writes since a line of its log: the most of one object, and those that put something back. */
  const writesSince = (from: number): { most: number; repairs: string[] } => {
    const messages = helper.lines.slice(from).map(({ message }) => message);
    const counts = new Map<string, number>();
    for (const one of messages.filter((message) => message.includes(" configured in namespace ")))
      counts.set(one, (counts.get(one) ?? 0) + 1);
    return { most: Math.max(0, ...counts.values()), repairs: messages.filter((one) => one.includes("put back")) };
  };
  const [nothing, once] = [0, 1].map((most) => ({ most, repairs: [] }));
  const monitored = async (t: TestContext): Promise<SecretMonitor> => {
    const monitor = await SecretMonitor.start(parts, ports.registry);
    t.after(async () => void (await monitor.stop()));
    return monitor;
  };

  for (const which of [0, 1] as const) {
    it(`can lose the ${which === 0 ? "first" : "second"}, and get it again: no credential is missing at any moment`, async (t) => {
      const [lost, other] = [owners[which], owners[1 - which] ?? ""];
      await waitUntilOwnedBy(owners);
      const monitor = await monitored(t);
      let from = helper.lines.length;
      await lose(lost);
      const line = await helper.line(
        new RegExp(`ClusterRole ${lost}, which owns .* does not exist.*pulumi up --refresh`),
        from,
      );
      assert.equal(line.level, "error");
      const events = `/api/v1/namespaces/${String(parts.env["ECR_HELPER_NAMESPACE"])}/events?fieldSelector=reason%3DOwnerMissing`;
      await waitForObject<{ message: string }>(
        parts.options,
        events,
        ({ message }) => message.includes(`${lost},`),
        timeout,
      );
      await waitUntilOwnedBy([other]);
      assert.deepEqual(writesSince(from), nothing, "Kubernetes takes the references away");
      from = helper.lines.length;
      const since = performance.now();
      await makeAgain(lost);
      await helper.line(new RegExp(`ClusterRole ${lost} exists again`), from);
      await waitUntilOwnedBy(owners);
      t.diagnostic(
        `owned by both again after ${(performance.now() - since).toFixed(0)} ms, ${String(monitor.versions.length)} versions seen`,
      );
      assert.deepEqual(writesSince(from), once, "each is written once");
      assert.deepEqual(await monitor.stop(), []);
    });
  }

  it("can lose one while no helper runs: the next helper writes nothing until the owner is back, and then each object once", async (t) => {
    const monitor = await monitored(t);
    await helper.stop();
    await lose(owners[0]);
    await waitUntilOwnedBy([owners[1]]);
    helper = await start();
    await helper.line(/does not exist/);
    assert.deepEqual(writesSince(0), nothing);
    await makeAgain(owners[0]);
    await waitUntilOwnedBy(owners);
    assert.deepEqual(writesSince(0), once);
    assert.deepEqual(await monitor.stop(), []);
  });

  it("can be made again while no helper runs", async () => {
    await helper.stop();
    await lose(owners[1]);
    await makeAgain(owners[1]);
    helper = await start();
    await waitUntilOwnedBy(owners);
    assert.deepEqual(writesSince(0), once);
    assert.ok(!helper.lines.some(({ message }) => message.includes("does not exist")));
  });

  it("are given back to objects that lost them, beside the owners of others", async () => {
    const path = `/api/v1/namespaces/${first}/configmaps`;
    const theirs = await parts.admin<Owned>({ method: "POST", path, body: { metadata: { name: "theirs" } } });
    const other = { apiVersion: "v1", kind: "ConfigMap", name: "theirs", uid: theirs.metadata.uid };
    const wanted = [...owners.map((name) => uids.get(name)), other.uid].sort().join();
    for (const [target, plural, name] of [
      [secretPath(first, "ecr-creds"), "secrets", "ecr-creds"],
      [accountPath(first), "serviceaccounts", "builder-sa"],
    ] as const) {
      const from = helper.lines.length;
      const body = { metadata: { ownerReferences: [other] } };
      await parts.admin({ method: "PATCH", path: target, contentType: "application/merge-patch+json", body });
      const one = `/api/v1/namespaces/${first}/${plural}?fieldSelector=metadata.name%3D${name}`;
      await waitForObject<Owned>(parts.options, one, (object) => ownersOf(object) === wanted, timeout);
      await helper.line(new RegExp(`/${name} in namespace ${first} lost its owner; it was put back`), from);
      const none = {
        metadata: { ownerReferences: owners.map((owner) => ownerReference(owner, uids.get(owner) ?? "")) },
      };
      await parts.admin({ method: "PATCH", path: target, contentType: "application/merge-patch+json", body: none });
    }
    await waitUntilOwnedBy(owners);
  });

  it("are given to objects that come back from a backup with others, or none", async () => {
    const dead = owners.map((name, index) => ownerReference(name, exampleUid(index + 1)));
    for (const ownerReferences of [
      undefined,
      dead,
      [...dead.slice(1), ownerReference(owners[0], uids.get(owners[0]) ?? "")],
    ]) {
      for (const path of [secretPath(second, "ecr-creds-pull"), accountPath(second)]) {
        const { metadata, ...rest } = await parts.admin<Owned>({ method: "GET", path });
        const { uid, ...kept } = { ...metadata, resourceVersion: undefined, managedFields: undefined, ownerReferences };
        assert.ok(uid);
        await helper.stop();
        await parts.admin({ method: "DELETE", path });
        await parts.admin({ method: "POST", path: path.replace(/\/[^/]+$/, ""), body: { ...rest, metadata: kept } });
        helper = await start();
        await waitUntilOwnedBy(owners);
      }
    }
  });

  it("can both be lost: everything stays, or is back at once, without an owner, and gets them when they exist again", async (t) => {
    const monitor = await monitored(t);
    const from = helper.lines.length;
    await Promise.all(owners.map(lose));
    await helper.line(/Nothing owns what the helper keeps/, from);
    await waitUntilOwnedBy([]);
    const deleted = (await monitor.stop()).filter((one) => one.endsWith("was deleted")).length;
    t.diagnostic(`${String(deleted)} of ${String(2 * namespaces.length + 1)} secrets were collected and made again`);
    // At most: made with the owner that seemed to exist, then without, and once more because Kubernetes had decided before.
    assert.ok(
      writesSince(from).most <= 3,
      helper.lines
        .slice(from)
        .map(({ message }) => message)
        .join("\n"),
    );
    await helper.stop();
    helper = parts.run();
    await helper.line(/the secret will expire/, 0, timeout);
    assert.deepEqual(writesSince(0), nothing, "without the right to see them they count as missing");
    for (const name of owners) await makeAgain(name);
    await waitUntilOwnedBy(owners);
    assert.equal(helper.lines.filter(({ message }) => message.includes("exists again")).length, 2);
  });
});
