// Faults in the helper's process: it is ended at every moment, restarted in a row, run twice at once, and run on a read-only
// disk.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { HelperProcess } from "../support/helper-process.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { passCompleted, reportOutcome, FaultFixture, type FixtureOptions } from "./fault-fixture.ts";
import { hasNewerToken } from "../support/secret-monitor.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

/** Runs a case on a separate fixture, and fails if the monitor has found violations. */
async function withFixture(options: FixtureOptions, run: (fixture: FaultFixture) => Promise<void>): Promise<void> {
  const fixture = await FaultFixture.create(cluster, options);
  try {
    await run(fixture);
    assert.deepEqual(await fixture.monitor.stop(), []);
  } finally {
    await fixture.remove();
  }
}

const resourceVersions = async ({ parts }: FaultFixture): Promise<string[]> => {
  const selector = encodeURIComponent(`app.kubernetes.io/instance=${parts.owner}`);
  const lists = ["secrets", "serviceaccounts"].map(async (resource) =>
    parts.admin<{ items: { metadata: { resourceVersion: string } }[] }>({
      method: "GET",
      path: `/api/v1/${resource}?labelSelector=${selector}`,
    }),
  );
  return (await Promise.all(lists)).flatMap(({ items }) => items.map(({ metadata }) => metadata.resourceVersion));
};

describe("the helper's process", { concurrency: true }, () => {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    it(`loses nothing if ${signal} ends it at any moment, and the next one does the rest`, async (t) => {
      await withFixture({ tokenLife: 16_000 }, async (fixture) => {
        const { monitor } = fixture;
        const moments: [string, (helper: HelperProcess) => Promise<unknown>][] = [
          ["before its first log line", async () => Promise.resolve()],
          ["before its first list", async (helper) => helper.line(/^Deployment/)],
          ["after its first secret", async () => monitor.waitForVersions(1)],
          ["after its 10th secret", async () => monitor.waitForVersions(10)],
          ["while it has nothing to do", async (helper) => helper.line(passCompleted)],
          ["after the first secret of a refresh", async () => monitor.waitForVersions(1, hasNewerToken(monitor))],
          ["after the 10th secret of a refresh", async () => monitor.waitForVersions(10, hasNewerToken(monitor))],
        ];
        for (const [moment, reached] of moments) {
          if (!moment.endsWith("refresh")) await fixture.addNamespaces(16);
          const helper = fixture.run();
          await reached(helper);
          const { code, took } = await helper.stop(signal);
          const seen = `${String(monitor.latest.size)} of ${String(2 * fixture.namespaces.length + 1)} secrets there`;
          assert.ok(took < 2_000, `it took ${String(took)} ms ${moment}`);
          // Before the helper's first line, Node ends without it, by the signal.
          if (signal === "SIGTERM" && helper.lines.length > 0) assert.equal(code, 0, moment);
          const since = performance.now();
          const next = fixture.run();
          await next.line(passCompleted);
          await fixture.waitUntilConverged();
          reportOutcome(
            t,
            `${signal} ${moment}`,
            `${seen}, none torn, refused or older; ended in ${took.toFixed(0)} ms`,
            since,
          );
          await next.stop(signal);
        }
      });
    });
  }

  it("writes nothing and requests no token after the first of a hundred starts, each of them killed", async (t) => {
    await withFixture({}, async (fixture) => {
      await fixture.addNamespaces(5);
      await fixture.run().line(passCompleted);
      await fixture.waitUntilConverged();
      const before = await resourceVersions(fixture);
      const since = performance.now();
      for (let start = 0; start < 100; start++) {
        const helper = fixture.run();
        await helper.line(start % 4 === 0 ? passCompleted : /^Deployment/);
        await helper.stop("SIGKILL");
      }
      const each = ((performance.now() - since) / 100).toFixed(0);
      assert.deepEqual(await resourceVersions(fixture), before);
      assert.deepEqual([...fixture.gateway.tokenRequests.values()], [1]);
      const again = performance.now();
      await fixture.run().line(passCompleted);
      reportOutcome(t, `100 restarts, ${each} ms each`, "ECR asked once in all, nothing written", again);
    });
  });

  it("requests one token per start if it is killed before each answer", async (t) => {
    await withFixture({}, async (fixture) => {
      await fixture.addNamespaces(5);
      for (let start = 0; start < 10; start++) {
        const asks = fixture.gateway.nextTokenRequest();
        const helper = fixture.run();
        await asks;
        await helper.stop("SIGKILL");
      }
      const tokenCount = [...fixture.gateway.tokenRequests.values()].reduce((sum, count) => sum + count, 0);
      assert.equal(tokenCount, 10);
      const since = performance.now();
      await fixture.run().line(passCompleted);
      await fixture.waitUntilConverged();
      reportOutcome(t, "10 restarts, killed as ECR is asked", `ECR asked ${String(tokenCount)} times`, since);
    });
  });

  it("may run twice at once: one works, and the other stands by", async (t) => {
    await withFixture({ tokenLife: 16_000 }, async (fixture) => {
      const { monitor, gateway } = fixture;
      await fixture.addNamespaces(10);
      const since = performance.now();
      const both = ["one", "other"].map((name) => fixture.run({ ECR_HELPER_POD: `${fixture.id}-${name}` }));
      const worker = await Promise.any(both.map(async (helper) => helper.line(passCompleted).then(() => helper)));
      await fixture.waitUntilConverged();
      reportOutcome(t, "two helpers at once", "one writes, every secret is accepted at all times", since);
      await monitor.waitForVersions(2 * 10 + 1, hasNewerToken(monitor));
      await fixture.waitUntilConverged();
      assert.equal(monitor.versions.length, 2 * (2 * 10 + 1), "each secret was written twice");
      for (const helper of both) {
        const writes = helper.lines.filter(({ message }) => /configured in namespace/.test(message));
        assert.equal(writes.length > 0, helper === worker);
      }
      // One of each token that was written, and one more if the other asked whether it is issued any.
      const tokenCount = [...gateway.tokenRequests.values()].reduce((sum, count) => sum + count, 0);
      assert.ok(tokenCount <= 3, `${String(tokenCount)} tokens`);
      // The one that works last, so that the other one does not take over meanwhile.
      for (const helper of [...both.filter((one) => one !== worker), worker])
        assert.equal((await helper.stop()).code, 0);
    });
  });

  it("needs no disk: it keeps and refreshes everything where not even a temporary file can be written", async (t) => {
    await withFixture({ tokenLife: 16_000 }, async (fixture) => {
      await fixture.addNamespaces(3);
      // As in a pod: every file system is read-only, and the image's user has no home but the root.
      const script =
        "cut -d' ' -f2 /proc/self/mounts | while read -r at; do mount -o remount,bind,ro \"$at\" 2>/dev/null; done; " +
        'touch /tmp/x 2>/dev/null && echo "the disk is not read-only" >&2 && exit 1; ' +
        'exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs "$@"';
      const wrapper = ["unshare", "--mount", "sh", "-c", script, "sh"];
      const since = performance.now();
      const helper = fixture.runWith({ wrapper }, { HOME: "/" });
      await helper.line(passCompleted);
      await fixture.waitUntilConverged();
      reportOutcome(t, "a read-only disk", "first pass as ever", since);
      await fixture.monitor.waitForVersions(2 * 3 + 1, hasNewerToken(fixture.monitor));
      assert.equal((await helper.stop()).code, 0);
    });
  });
});
