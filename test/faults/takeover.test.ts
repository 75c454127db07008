// The helper that works vanishes, ends, or is cut off: another one that stands by takes over, and only one writes at a time.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { hasNewerToken } from "../support/secret-monitor.ts";
import { seconds, withContenders } from "./contenders.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

/** The longest that a namespace may wait when the holder has vanished, and when it has given up, in milliseconds: generous. */
const [afterLoss, afterRelease] = [25_000, 10_000];
describe("another helper takes over", { concurrency: true }, () => {
  it("when the one that works is killed", async (t) => {
    await withContenders(cluster, t, async (contenders) => {
      const [holder, ...others] = await contenders.startAll(3, 10);
      await holder.helper.stop("SIGKILL");
      const waited = await contenders.serveNamespace(afterLoss);
      await contenders.waitForHolder(others);
      return `the holder is killed | a new namespace is served after ${seconds(waited)}`;
    });
  });

  it("at once when the one that works is ended by SIGTERM", async (t) => {
    await withContenders(cluster, t, async (contenders) => {
      const [holder, other] = await contenders.startAll(2, 100);
      const { monitor } = contenders.fixture;
      await monitor.waitForVersions(20, hasNewerToken(monitor));
      const ending = holder.helper.stop("SIGTERM");
      const waited = await contenders.serveNamespace(afterRelease);
      const { code, took } = await ending;
      assert.equal(code, 0);
      await contenders.waitForHolder([other ?? holder]);
      return `the holder is ended by SIGTERM in a refresh, in ${seconds(took)} | a new namespace is served after ${seconds(waited)}`;
    });
  });

  it("when all are killed and another one is started", async (t) => {
    await withContenders(cluster, t, async (contenders) => {
      const all = await contenders.startAll(2, 10);
      await Promise.all(all.map(async ({ helper }) => helper.stop("SIGKILL")));
      const since = performance.now();
      const [next, waited] = await Promise.all([contenders.start(), contenders.serveNamespace(afterLoss)]);
      await contenders.waitForHolder([next]);
      const started = seconds(performance.now() - since);
      return `both are killed, one is started | a new namespace is served after ${seconds(waited)}, all done after ${started}`;
    });
  });

  it("when the network of the one that works is cut, and it writes nothing when the network is back", async (t) => {
    await withContenders(cluster, t, async (contenders) => {
      const [holder, other = holder] = await contenders.startAll(2, 100);
      const { monitor } = contenders.fixture;
      // In the middle of a refresh: its kernel has requests that are sent again when the network is back.
      await monitor.waitForVersions(20, hasNewerToken(monitor));
      await holder.setCut(true);
      try {
        const waited = await contenders.serveNamespace(afterLoss);
        await contenders.waitForHolder([other]);
        await holder.helper.line(/lost the lease, and writes nothing more: it could not be renewed in time/);
        await contenders.fixture.waitUntilConverged();
        const from = holder.helper.lines.length;
        await holder.setCut(false);
        await other.helper.stop("SIGTERM");
        await holder.helper.line(/holds the lease, and works/, from);
        return `the holder's network is cut in a refresh | a new namespace is served after ${seconds(waited)}`;
      } finally {
        await holder.setCut(false);
      }
    });
  });
});
