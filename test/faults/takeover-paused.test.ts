// The helper that works is stopped for longer than the Lease is valid, in the middle of a refresh, and goes on where it was.
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { hasNewerToken } from "../support/secret-monitor.ts";
import { withContenders } from "./contenders.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

/** For how long it is stopped, in milliseconds. */
const pause = 20_000;
/** How often: in some of them it has requests that it has not handed to the kernel. */
const rounds = 3;

describe("a helper that is stopped in the middle of a refresh", () => {
  it("writes nothing when it goes on and another one has taken over", async (t) => {
    await withContenders(cluster, t, async (contenders) => {
      const all = await contenders.startAll(2, 300);
      const { monitor } = contenders.fixture;
      let holder = all[0];
      for (let round = 0; round < rounds; round++) {
        await monitor.waitForVersions(30 + 100 * round, hasNewerToken(monitor));
        const stopped = holder;
        const from = stopped.helper.lines.length;
        process.kill(stopped.helper.pid, "SIGSTOP");
        [holder] = await Promise.all([contenders.waitForHolder(all.filter((one) => one !== stopped)), sleep(pause)]);
        process.kill(stopped.helper.pid, "SIGCONT");
        await stopped.helper.line(/lost the lease, and writes nothing more/, from);
        await contenders.fixture.waitUntilConverged();
      }
      return `the holder is stopped for ${String(pause / 1000)} s in a refresh, ${String(rounds)} times`;
    });
  });
});
