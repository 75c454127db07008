// What helpers make of a Lease that others edit, refuse or delete, and of each other's ends.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { leaseTimes } from "../../helper/election/lease.ts";
import { SimulatedHelper, holderOf, leaders, takeover, withHelpers } from "../support/simulated-election.ts";
import { SimulatedLease } from "../support/simulated-lease.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const second = 1_000;

/** Advances in steps, each of which lets news pass from one helper to another. */
async function pass(clock: VirtualClock, milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 100) await clock.advance(100);
}

describe("a Lease that others edit", () => {
  for (const leaseDurationSeconds of [undefined, 1, 31_536_000]) {
    it(`is valid for its usual time with a duration of ${String(leaseDurationSeconds)} s`, async () => {
      await withHelpers(2, async (helpers, clock, lease) => {
        await pass(clock, second);
        const holder = holderOf(helpers);
        const other = helpers.find((one) => one !== holder);
        holder.become("paused");
        lease.edit({ spec: { leaseDurationSeconds } });
        await pass(clock, leaseTimes.renewDeadline - second);
        assert.equal(other?.elector.isLeading(), false, "the holder could still write");
        await pass(clock, leaseTimes.duration - leaseTimes.renewDeadline + 3 * second);
        assert.equal(other.elector.isLeading(), true);
      });
    });
  }

  it("is put right by the next renewal, whatever is missing", async () => {
    await withHelpers(2, async (helpers, clock, lease) => {
      await pass(clock, second);
      const holder = holderOf(helpers);
      const spec = { leaseDurationSeconds: undefined, acquireTime: undefined, renewTime: undefined };
      lease.edit({ spec, annotations: { "ecr-helper/template": "x" } });
      const [before, term] = [lease.requests, holder.term];
      await pass(clock, 30 * second);
      assert.ok(lease.requests - before < 30, `${String(lease.requests - before)} requests`);
      assert.deepEqual(leaders(helpers), [holder.name]);
      assert.equal(holder.term, term, "it never lost it");
      assert.equal(lease.stored?.spec["leaseDurationSeconds"], leaseTimes.duration / second);
      assert.equal(lease.stored.metadata.annotations?.["ecr-helper/template"], "t1");
    });
  });

  it("can be taken over after as many transitions as a Lease can count", async () => {
    await withHelpers(2, async (helpers, clock, lease) => {
      await pass(clock, second);
      const holder = holderOf(helpers);
      lease.edit({ spec: { leaseTransitions: 2 ** 31 - 1 } });
      holder.become("paused");
      assert.ok((await takeover(helpers, clock, holder.name)) <= leaseTimes.duration + leaseTimes.retryPeriod);
    });
  });

  it("is not renewed for another pod", async () => {
    await withHelpers(1, async (helpers, clock, lease) => {
      await pass(clock, second);
      const holder = holderOf(helpers);
      lease.edit({ spec: { holderIdentity: "x", renewTime: "2026-11-26T00:00:00.000000Z" } });
      await pass(clock, 10 * second);
      assert.equal(holder.term?.lost.aborted, true);
      assert.equal(lease.stored?.spec["renewTime"], "2026-11-26T00:00:00.000000Z");
    });
  });

  it("is lost at once where it went to another pod before the answer to the request that acquired it", async () => {
    const [clock, lease] = [new VirtualClock("2026-11-26T00:00:00Z"), new SimulatedLease()];
    const helper = new SimulatedHelper("h", clock, lease);
    const run = helper.run();
    helper.answersAfter = second;
    while (lease.stored === undefined) await clock.advance(100);
    lease.edit({ spec: { holderIdentity: "x" } });
    for (let passed = 0; passed < 1_500; passed += 100) {
      await clock.advance(100);
      assert.equal(helper.elector.isLeading(), false);
    }
    helper.stop();
    await clock.advance(60 * second);
    await run;
  });

  it("is followed further after etcd was restored and versions begin again", async () => {
    await withHelpers(2, async (helpers, clock, lease) => {
      await pass(clock, 60 * second);
      const holder = holderOf(helpers);
      lease.restore();
      await pass(clock, 30 * second);
      assert.deepEqual(leaders(helpers), [holder.name]);
    });
  });

  it("is not created by a helper that has not seen that it was deleted", async () => {
    await withHelpers(2, async (helpers, clock, lease) => {
      await pass(clock, second);
      const holder = holderOf(helpers);
      for (const helper of helpers) helper.isWatchDead = true;
      await pass(clock, leaseTimes.duration - 2 * second);
      for (let step = 0; step < 40; step++) {
        lease.delete();
        await clock.advance(100);
        assert.deepEqual(leaders(helpers), [holder.name]);
      }
    });
  });
});

describe("a holder", () => {
  it("counts the longer one of what two clocks say, as one may be set and the other stands still while a machine sleeps", async () => {
    await withHelpers(1, async (helpers, clock) => {
      await pass(clock, second);
      const holder = holderOf(helpers);
      holder.setClock(leaseTimes.renewDeadline);
      assert.equal(holder.elector.isLeading(), false);
      holder.setClock(-3_600 * second);
      assert.equal(holder.elector.isLeading(), true);
      holder.become("paused");
      await clock.advance(leaseTimes.renewDeadline);
      assert.equal(holder.elector.isLeading(), false);
    });
  });

  it("counts from when a renewal was sent, however late it is answered", async () => {
    for (let offset = 0; offset < 4 * second; offset += 500) {
      await withHelpers(1, async (helpers, clock, lease) => {
        await pass(clock, second);
        const holder = holderOf(helpers);
        holder.answersAfter = 2 * second;
        await pass(clock, 9 * second + offset);
        holder.become("paused");
        const sent = Date.parse(String(lease.stored?.spec["renewTime"]));
        await clock.advance(sent + leaseTimes.renewDeadline - clock.now());
        assert.equal(holder.elector.isLeading(), false);
      });
    }
  });
});

describe("an API server that refuses the Lease", () => {
  for (const status of [403, 409, 422, 500]) {
    it(`with ${String(status)} is asked once in a while, and the log says so more and more rarely`, async () => {
      const [clock, lease] = [new VirtualClock("2026-11-26T00:00:00Z"), new SimulatedLease()];
      const helper = new SimulatedHelper("h", clock, lease);
      lease.refuses = status;
      const run = helper.run();
      await pass(clock, 600 * second);
      // Where somebody else may have been faster, an attempt is up to five writes and four reads.
      assert.ok(lease.requests < 600 * 7, `${String(lease.requests)} requests`);
      const lines = helper.log.filter(([level]) => level !== "debug");
      assert.ok(lines.length > 0 && lines.length < 12, `${String(lines.length)} lines`);
      lease.refuses = undefined;
      // By 409 and 422 another one may have created it: the helper cannot know that nobody had it.
      await pass(clock, [409, 422].includes(status) ? leaseTimes.duration + 8 * second : 3 * second);
      assert.equal(helper.elector.isLeading(), true);
      helper.stop();
      await clock.advance(second);
      await run;
    });
  }
});

describe("a helper that ends", () => {
  /** Two helpers, one of which holds the Lease, while the other one, of another pod template, asks for it at will. */
  async function withPair(
    work: (old: SimulatedHelper, next: SimulatedHelper, clock: VirtualClock, lease: SimulatedLease) => Promise<void>,
  ): Promise<void> {
    const [clock, lease] = [new VirtualClock("2026-11-26T00:00:00Z"), new SimulatedLease()];
    const [old, next] = [new SimulatedHelper("old", clock, lease), new SimulatedHelper("next", clock, lease, "t2")];
    const runs = [old.run()];
    await pass(clock, second);
    runs.push(next.run());
    await pass(clock, second);
    await work(old, next, clock, lease);
    for (const one of [old, next]) one.become("well");
    for (const one of [old, next]) one.stop();
    await clock.advance(60 * second);
    await Promise.all(runs);
  }

  it("takes back what it asked for", async () => {
    await withPair(async (old, next, clock, lease) => {
      old.become("paused");
      next.candidacy = { ...next.candidacy, asks: () => true };
      await pass(clock, 2 * second);
      assert.equal(lease.stored?.metadata.annotations?.["ecr-helper/candidate"], "next");
      next.stop();
      await pass(clock, 200);
      old.become("well");
      await pass(clock, 3 * second);
      assert.deepEqual(leaders([old, next]), ["old"]);
    });
  });

  it("gives up at once what it was handed before it has seen that", async () => {
    await withPair(async (old, next, clock, lease) => {
      next.isWatchDead = true;
      next.candidacy = { ...next.candidacy, asks: () => true };
      await pass(clock, 3 * second);
      assert.equal(lease.stored?.spec.holderIdentity, "next");
      assert.deepEqual(leaders([old, next]), []);
      next.stop();
      await pass(clock, second);
      assert.deepEqual(leaders([old, next]), ["old"]);
    });
  });

  it("gives up at once what it acquired by a request that was not answered yet", async () => {
    const [clock, lease] = [new VirtualClock("2026-11-26T00:00:00Z"), new SimulatedLease()];
    const [first, other] = [new SimulatedHelper("first", clock, lease), new SimulatedHelper("other", clock, lease)];
    first.answersAfter = 500;
    const runs = [first.run()];
    for (let waited = 0; lease.stored === undefined && waited < 20; waited++) await clock.advance(100);
    assert.equal(lease.stored?.spec.holderIdentity, "first");
    first.stop();
    runs.push(other.run());
    await pass(clock, 2 * second);
    assert.deepEqual(leaders([first, other]), ["other"]);
    other.stop();
    await clock.advance(60 * second);
    await Promise.all(runs);
  });

  it("is not asked for the Lease by two at once, nor by one again and again", async () => {
    await withPair(async (old, next, clock, lease) => {
      old.become("paused");
      lease.edit({ annotations: { "ecr-helper/candidate": "first" } });
      next.candidacy = { ...next.candidacy, asks: () => true };
      await pass(clock, second);
      const candidate = (): string | undefined => lease.stored?.metadata.annotations?.["ecr-helper/candidate"];
      assert.equal(candidate(), "first");
      lease.edit({ annotations: { "ecr-helper/candidate": "" } });
      await pass(clock, second);
      assert.equal(candidate(), "next");
      lease.edit({ annotations: { "ecr-helper/candidate": "" } });
      await pass(clock, 5 * second);
      assert.equal(candidate(), "");
      await pass(clock, 5 * second);
      assert.equal(candidate(), "next");
    });
  });

  it("asked in vain, and is gone: others may ask, and nobody hands it over to that one later", async () => {
    await withPair(async (old, next, clock, lease) => {
      // It was handed the Lease a minute ago, and has lost it.
      next.candidacy = { ...next.candidacy, asks: () => !next.elector.isLeading() };
      await pass(clock, 3 * second);
      next.become("cut off");
      assert.ok((await takeover([old, next], clock, "next")) < 20 * second);
      lease.edit({ annotations: { "ecr-helper/candidate": "next" } });
      await pass(clock, 3 * second);
      assert.equal(lease.stored?.metadata.annotations?.["ecr-helper/candidate"], undefined);
      await pass(clock, 320 * second);
      assert.deepEqual(leaders([old, next]), ["old"]);
    });
  });
});
