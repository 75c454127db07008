// A short soak with hostile tenants in some of the namespaces.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { attack, hostileRows, linesOf, peakOf } from "./hostile.ts";
import { grace } from "./credential-check.ts";
import { Soak } from "./soak.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

/** In milliseconds. */
const [tokenLife, times] = [12_000, { quiet: 5_000, attack: 15_000 }];

it("keeps other namespaces' credentials valid, and its memory, log and Events small, while hostile tenants attack", async (t) => {
  const soak = await Soak.start(cluster, 1, { tokenLife, calm: 15, attacked: 3 });
  try {
    const result = await attack(soak, 1, times);
    for (const [what, values] of Object.entries(hostileRows(result)))
      t.diagnostic(`${what}: ${JSON.stringify(values)}`);
    for (const attacker of result.attackers)
      assert.ok(attacker.done.size > 5, "each tenant made many kinds of attacks");
    assert.ok(soak.sampler.checks > 500);
    assert.deepEqual([...soak.errors, ...soak.sampler.without], []);
    const { created, deleted } = result.attack.latencies;
    assert.ok(created.length > 5 && [...created, ...deleted].every((latency) => latency < grace));
    assert.ok(peakOf(result.attack) - peakOf(result.quiet) < 40, "in MB");
    const attacked = result.attackers.map(({ namespace }) => namespace);
    assert.ok(linesOf(result.attack, attacked).every((lines) => lines < 100));
    assert.ok(result.events.every((events) => events < 30));
  } finally {
    await soak.end();
  }
});
