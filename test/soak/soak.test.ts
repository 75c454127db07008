// A short soak: a fault of each side, a killed helper and a takeover, and then an undeclared outage, which the soak must detect.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { faultKinds, unreachable, type FaultKind } from "./faults.ts";
import { grace } from "./credential-check.ts";
import { Soak } from "./soak.ts";
import { rowsOf, summaryOf } from "./summary.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

/** In milliseconds. */
const tokenLife = 12_000;

const named = (wanted: string): FaultKind => {
  const found = faultKinds.find(({ side, name }) => `${side} ${name}` === wanted);
  if (found === undefined) throw new Error(`there is no fault "${wanted}"`);
  return found;
};

it("keeps every credential valid in a short soak, which detects an outage that is longer than a token lives", async (t) => {
  const since = performance.now();
  const soak = await Soak.start(cluster, 1, { tokenLife });
  try {
    await soak.sampler.until(({ accepted }) => accepted.size > 0, 30_000, soak.over.signal);
    await soak.pause(grace);
    const all = [
      await soak.injectFaults([named("ecr 503")], 1_500),
      await soak.injectFaults([named("kubernetes resets")], 1_500),
      await soak.restart(500),
      await soak.takeOver("ended", 0),
    ];
    for (const { what, to = 0, convergedAt = Infinity } of all) {
      assert.ok(convergedAt < Infinity, `no recovery after: ${what}`);
      t.diagnostic(
        `outcome: soak: ${what} | a valid login everywhere | recovered after ${String(convergedAt - to)} ms`,
      );
    }
    await soak.pause(grace + 1_000);
    const summary = summaryOf(soak, 1, since);
    assert.ok(summary.checks > 100, JSON.stringify(rowsOf(summary)));
    assert.deepEqual(summary.wrong, []);
    assert.equal(summary.moments, 0);

    // Longer than a token lives, and not declared.
    await soak.injectFaults([unreachable("ecr")], tokenLife + 1_000);
    assert.ok(soak.sampler.moments > 0);
  } finally {
    await soak.end();
  }
});
