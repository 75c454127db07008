import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { minute, simulate, writesOf } from "../support/controller-simulation.ts";

describe("an outside change", () => {
  for (const how of ["deleted", "changed"] as const) {
    it(`is reverted at once: a secret that was ${how}`, async () => {
      const { writes, newToken, change, lines, drifted } = simulate();
      await newToken();
      writes.length = 0;
      await change("a", "ecr-creds", how);
      assert.deepEqual(writes, ["0 apply ecr-creds in a"]);
      assert.deepEqual(drifted, ["secret/ecr-creds"]);
      const word = how === "deleted" ? "was deleted" : "was changed by kubectl-edit";
      assert.ok(lines.includes(`warn secret/ecr-creds in namespace a ${word}; it was put back`), lines.join("\n"));
    });
  }

  it("is reverted at once: a service account that lost its entries", async () => {
    const { writes, newToken, loseEntries } = simulate();
    await newToken();
    writes.length = 0;
    await loseEntries("a");
    assert.deepEqual(writes, ["0 apply builder-sa in a"]);
  });

  it("is no repair where somebody else was faster and nothing was left to write", async () => {
    const { newToken, loseEntries, account, drifted, lines } = simulate();
    await newToken();
    account.outcome = "unchanged";
    await loseEntries("a");
    assert.deepEqual(drifted, []);
    assert.ok(!lines.some((line) => line.includes("it was put back")), lines.join("\n"));
  });

  it("is reverted with increasing delay when it is repeated at once, and one Event says so", async () => {
    const { writes, newToken, change, clock, warned, stop } = simulate();
    await newToken();
    writes.length = 0;
    for (let second = 0; second < 3600; second++) {
      await change("a", "ecr-creds", "changed");
      await clock.advance(1_000);
    }
    stop();
    assert.ok(writes.length > 15 && writes.length < 40, String(writes.length));
    const times = writes.map((write) => Number(write.split(" ")[0]));
    assert.ok(times.at(-1) !== undefined && (times.at(-1) ?? 0) - (times.at(-2) ?? 0) >= 150);
    assert.deepEqual(warned, ["Contested a/secret/ecr-creds"]);
  });

  it("is forgotten when the object is left alone for long: the next one is reverted at once", async () => {
    const { writes, newToken, change, clock } = simulate();
    await newToken();
    for (let times = 0; times < 5; times++) {
      await change("a", "ecr-creds", "changed");
      await clock.advance(10_000);
    }
    await clock.advance(20 * minute);
    writes.length = 0;
    await change("a", "ecr-creds", "changed");
    assert.equal(writes.length, 1);
    await clock.advance(minute);
    await change("a", "ecr-creds", "changed");
    assert.equal(writes.length, 2);
  });

  it("is reverted when another helper of this stack wrote the secret late, whatever its clock says", async () => {
    const { writes, newToken, applyByPeer } = simulate();
    await newToken();
    for (const refreshedAt of ["2026-11-22T23:59:59.000Z", "2027-01-01T00:00:00.000Z"]) {
      writes.length = 0;
      await applyByPeer("a", "ecr-creds", refreshedAt);
      assert.deepEqual(writes, ["0 apply ecr-creds in a"]);
    }
  });

  it("stays when someone else made the secret: one error and one Event say so, and nothing is tried until it is deleted", async () => {
    const { writes, newToken, change, clock, warned, lines, controller } = simulate();
    await change("a", "ecr-creds", "theirs");
    await newToken();
    await clock.advance(60 * minute);
    assert.deepEqual(new Set(writes.filter((write) => write.endsWith("ecr-creds in a"))), new Set([writesOf("a")[0]]));
    assert.deepEqual(warned, ["ForeignObject a/secret/ecr-creds"]);
    assert.equal(lines.filter((line) => line === "error secret/ecr-creds failed in namespace a: theirs").length, 1);
    assert.equal(controller.states().get("a"), "failing");
    assert.equal(controller.states().get("b"), "synced");
    await change("a", "ecr-creds", "deleted");
    assert.equal(controller.states().get("a"), "synced");
  });

  it("is met with increasing delay and few log lines when a foreign secret is created and deleted again and again", async () => {
    const { writes, newToken, change, clock, warned, lines, controller } = simulate();
    await newToken();
    writes.length = lines.length = 0;
    for (let count = 0; count < 300; count++) {
      await change("a", "ecr-creds", "theirs");
      await change("a", "ecr-creds", "deleted");
      await clock.advance(18);
    }
    assert.ok(writes.length <= 12, String(writes.length));
    assert.ok(warned.length <= 6 && lines.length <= 30, `${String(warned.length)} ${String(lines.length)}`);
    assert.equal(controller.states().get("b"), "synced");
    await clock.advance(10 * minute);
    assert.equal(controller.states().get("a"), "synced", "it converges in the end");
  });
});
