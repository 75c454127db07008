// The API server answers late: something before it, or in it, holds what the helper writes for longer than the Lease is valid.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { delay, pass } from "../support/fault.ts";
import type { RequestMatcher } from "../support/proxy.ts";
import { hasNewerToken } from "../support/secret-monitor.ts";
import { Contenders, tokenLife, withContenders } from "./contenders.ts";
import { startSlowAdmission } from "./slow-admission.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

/** For how long writes are held, in milliseconds: longer than a Lease is valid. */
const held = 20_000;
const isLease: RequestMatcher = ({ method, path }) => method === "PUT" && path.includes("/leases/");
const isWrite: RequestMatcher = (request) =>
  request.method === "DELETE" || request.method === "PATCH" || (request.method === "PUT" && !isLease(request));

describe("an API server that answers late", { concurrency: true }, () => {
  it("loses the helper the Lease if it holds renewals, and the writes that it holds are taken back", async (t) => {
    await withContenders(cluster, t, async (contenders) => {
      const [holder, other = holder] = await contenders.startAll(2, 100);
      const { monitor } = contenders.fixture;
      await monitor.waitForVersions(20, hasNewerToken(monitor));
      const ends: Promise<unknown>[] = [];
      let forwarded = 0;
      const holding = delay(held, async (exchange) => {
        forwarded++;
        await pass(exchange);
      });
      const writes = holder.kubernetes.inject(isWrite, async (exchange) => {
        ends.push(once(exchange.outgoing, "close"));
        await holding(exchange);
      });
      const renewals = holder.kubernetes.inject(isLease, delay(held));
      await writes.reached(10);
      await contenders.waitForHolder([other]);
      await holder.helper.line(/lost the lease, and writes nothing more: it could not be renewed in time/);
      await Promise.all(ends);
      assert.equal(forwarded, 0, `of ${String(ends.length)}`);
      writes.lift();
      renewals.lift();
      return `writes and renewals are held for ${String(held / 1000)} s: ${String(ends.length)} writes are taken back`;
    });
  });

  it("only delays a helper whose renewals it answers: it keeps the Lease", async (t) => {
    await withContenders(cluster, t, async (contenders) => {
      const [holder, other = holder] = await contenders.startAll(2, 20);
      const { monitor } = contenders.fixture;
      const newer = hasNewerToken(monitor);
      const writes = holder.kubernetes.inject(isWrite, delay(held));
      await writes.reached(10);
      writes.lift();
      await monitor.waitForVersions(10, newer);
      assert.ok(!other.helper.lines.some(({ message }) => message.includes("holds the lease")));
      return `writes are held for ${String(held / 1000)} s, and renewals are not: the holder stays`;
    });
  });

  it("does nothing of what a helper sent that was stopped meanwhile: the other one has written it since", async (t) => {
    const contenders = await Contenders.create(cluster, { tokenLife });
    try {
      const [holder, other = holder] = await contenders.startAll(2, 10);
      const { fixture } = contenders;
      const { monitor, parts } = fixture;
      // The helper's own namespace, too: otherwise the other one has the same token, and writes the same.
      const own = String(parts.env["ECR_HELPER_NAMESPACE"]);
      const admission = await startSlowAdmission(parts.admin, [own, ...fixture.namespaces]);
      t.after(admission.close);
      const admitLater = admission.hold();
      await admission.holds(5);
      process.kill(holder.helper.pid, "SIGSTOP");
      admitLater();
      await contenders.waitForHolder([other]);
      await monitor.waitForVersions(2 * 10 + 1, hasNewerToken(monitor));
      await fixture.waitUntilConverged();
      const before = monitor.passwords;
      admission.release();
      // They are at the version that their sender had seen. The audit log is a file, which tells nobody that it grew.
      while ((await contenders.lateWrites()).refused.length < 5) await sleep(50);
      process.kill(holder.helper.pid, "SIGCONT");
      await holder.helper.line(/lost the lease, and writes nothing more/);
      assert.deepEqual(monitor.passwords, before);
      const { arrived, ended, refused } = await contenders.lateWrites();
      assert.deepEqual([arrived, ended], [[], []]);
      assert.deepEqual(await monitor.stop(), []);
      const held = `${String(refused.length)} late writes, all refused`;
      t.diagnostic(`outcome: admission holds writes of a helper that is stopped | ${held} | nothing to restore`);
    } finally {
      await contenders.remove();
    }
  });
});
