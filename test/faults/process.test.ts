// What is done to the helper's process: it is ended at every moment, started again and again, run twice at once, and given a
// disk that takes nothing.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { HelperProcess } from "../support/helper-process.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { passCompleted, reportOutcome, FaultFixture, type FixtureOptions } from "./fault-fixture.ts";
import { hasNewerToken } from "../support/secret-monitor.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

/** Sets a scene for a case, and takes it down. What was wrong at any moment fails the case. */
async function withScene(
  options: FixtureOptions,
  play: (scene: FaultFixture) => Promise<void>,
  helpers = 1,
): Promise<void> {
  const scene = await FaultFixture.create(cluster, options);
  try {
    await play(scene);
    assert.deepEqual(await scene.monitor.stop(), []);
    if (helpers === 1) assert.deepEqual(scene.monitor.downgrades, []);
  } finally {
    await scene.remove();
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
    it(`loses nothing by ${signal} at any moment, and the next one does the rest`, async (t) => {
      await withScene({ tokenLife: 16_000 }, async (scene) => {
        const { monitor } = scene;
        const moments: [string, (helper: HelperProcess) => Promise<unknown>][] = [
          ["before it has said a word", async () => Promise.resolve()],
          ["before its first list", async (helper) => helper.line(/^Deployment/)],
          ["after its first secret", async () => monitor.waitForVersions(1)],
          ["after its 10th secret", async () => monitor.waitForVersions(10)],
          ["while it has nothing to do", async (helper) => helper.line(passCompleted)],
          ["after the first secret of a refresh", async () => monitor.waitForVersions(1, hasNewerToken(monitor))],
          ["after the 10th secret of a refresh", async () => monitor.waitForVersions(10, hasNewerToken(monitor))],
        ];
        for (const [moment, reached] of moments) {
          if (!moment.endsWith("refresh")) await scene.addNamespaces(16);
          const helper = scene.run();
          await reached(helper);
          const { code, took } = await helper.stop(signal);
          const seen = `${String(monitor.latest.size)} of ${String(2 * scene.namespaces.length + 1)} secrets there`;
          assert.ok(took < 2_000, `it took ${String(took)} ms ${moment}`);
          // Before the helper's first word it is Node that ends.
          if (signal === "SIGTERM" && helper.lines.length > 0) assert.equal(code, 0, moment);
          const since = performance.now();
          const next = scene.run();
          await next.line(passCompleted);
          await scene.waitUntilConverged();
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

  it("starts a hundred times in a row, killed each time, without a write or a question to ECR after the first", async (t) => {
    await withScene({}, async (scene) => {
      await scene.addNamespaces(5);
      await scene.run().line(passCompleted);
      await scene.waitUntilConverged();
      const before = await resourceVersions(scene);
      const since = performance.now();
      for (let start = 0; start < 100; start++) {
        const helper = scene.run();
        await helper.line(start % 4 === 0 ? passCompleted : /^Deployment/);
        await helper.stop("SIGKILL");
      }
      const each = ((performance.now() - since) / 100).toFixed(0);
      assert.deepEqual(await resourceVersions(scene), before);
      assert.deepEqual([...scene.front.asked.values()], [1]);
      const again = performance.now();
      await scene.run().line(passCompleted);
      reportOutcome(t, `100 restarts, ${each} ms each`, "ECR asked once in all, nothing written", again);
    });
  });

  it("asks ECR once a start, and no more, where it is killed before the answer", async (t) => {
    await withScene({}, async (scene) => {
      await scene.addNamespaces(5);
      for (let start = 0; start < 10; start++) {
        const asks = scene.front.next();
        const helper = scene.run();
        await asks;
        await helper.stop("SIGKILL");
      }
      const asked = [...scene.front.asked.values()].reduce((sum, count) => sum + count, 0);
      assert.equal(asked, 10);
      const since = performance.now();
      await scene.run().line(passCompleted);
      await scene.waitUntilConverged();
      reportOutcome(t, "10 restarts, killed as ECR is asked", `ECR asked ${String(asked)} times`, since);
    });
  });

  it("may run twice at once: both agree on the newer token, and neither overwrites the other for ever", async (t) => {
    await withScene(
      { tokenLife: 16_000 },
      async (scene) => {
        const { monitor, front } = scene;
        await scene.addNamespaces(10);
        const since = performance.now();
        const both = [scene.run(), scene.run()];
        await Promise.all(both.map(async (helper) => helper.line(passCompleted)));
        await scene.waitUntilConverged();
        reportOutcome(t, "two helpers at once", "every secret accepted at all times", since);
        // Over a refresh of each.
        for (let refresh = 0; refresh < both.length; refresh++)
          await monitor.waitForVersions(2 * 10 + 1, hasNewerToken(monitor));
        await scene.waitUntilConverged();
        for (const helper of both) assert.equal((await helper.stop()).code, 0);
        const asked = [...front.asked.values()].reduce((sum, count) => sum + count, 0);
        // Each token once, and once again where the other's older one came later.
        const most = 2 * asked * (2 * 10 + 1);
        assert.ok(
          monitor.versions.length <= most,
          `${String(monitor.versions.length)} writes, ${String(most)} at most`,
        );
        t.diagnostic(
          `${String(asked)} tokens, ${String(monitor.versions.length)} versions of ${String(2 * 10 + 1)} secrets`,
        );
      },
      2,
    );
  });

  it("needs no disk: all is kept and refreshed where nothing can be written, not even a temporary file", async (t) => {
    await withScene({ tokenLife: 16_000 }, async (scene) => {
      await scene.addNamespaces(3);
      // Every file system is read-only for it, and it is the image's user, who has no home but the root: as in a pod.
      const script =
        "cut -d' ' -f2 /proc/self/mounts | while read -r at; do mount -o remount,bind,ro \"$at\" 2>/dev/null; done; " +
        'touch /tmp/x 2>/dev/null && echo "the disk is not read-only" >&2 && exit 1; ' +
        'exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs "$@"';
      const wrapper = ["unshare", "--mount", "sh", "-c", script, "sh"];
      const since = performance.now();
      const helper = scene.runWith({ wrapper }, { HOME: "/" });
      await helper.line(passCompleted);
      await scene.waitUntilConverged();
      reportOutcome(t, "a read-only disk", "first pass as ever", since);
      await scene.monitor.waitForVersions(2 * 3 + 1, hasNewerToken(scene.monitor));
      assert.equal((await helper.stop()).code, 0);
    });
  });
});
