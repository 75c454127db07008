import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { leaseTimes } from "../../helper/election/lease.ts";
import {
  SimulatedHelper,
  holderOf,
  leaders,
  takeover,
  withHelpers,
  type Condition,
} from "../support/simulated-election.ts";
import { SimulatedLease } from "../support/simulated-lease.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const second = 1_000;

describe("the election", () => {
  it("lets one helper work at once where there was none, and keeps it", async () => {
    await withHelpers(3, async (helpers, clock) => {
      await clock.advance(100);
      const [first] = leaders(helpers);
      assert.notEqual(first, undefined);
      await clock.advance(600 * second);
      assert.deepEqual(leaders(helpers), [first]);
    });
  });

  it("has the next one work within the Lease's time when the holder vanishes, and at once when it gives up", async () => {
    await withHelpers(2, async (helpers, clock) => {
      await clock.advance(100);
      const holder = holderOf(helpers);
      holder.become("paused");
      const waited = await takeover(helpers, clock, holder.name);
      assert.ok(waited <= leaseTimes.duration + leaseTimes.retryPeriod, String(waited));
      const next = holderOf(helpers.filter((one) => one !== holder));
      holder.become("well");
      await clock.advance(second);
      assert.deepEqual(leaders(helpers), [next.name], "the old one has noticed");
      next.stop();
      assert.ok((await takeover(helpers, clock, next.name)) <= 200);
    });
  });

  it("never has two that may write: whatever is paused, cut off, deleted by hand or has a wrong clock", async () => {
    const step = fc.record({
      helper: fc.nat(2),
      condition: fc.constantFrom<Condition | "skewed" | "deleted">("well", "paused", "cut off", "skewed", "deleted"),
      after: fc.integer({ min: 1, max: 20 * second }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        await withHelpers(3, async (helpers, clock, lease) => {
          // One that has never seen the Lease cannot know that it was deleted.
          while (!helpers.every(({ elector }) => elector.holder !== undefined)) await clock.advance(100);
          for (const { helper, condition, after } of steps) {
            const one = helpers[helper];
            if (condition === "deleted") lease.delete();
            else if (condition === "skewed") one?.setClock(after % 2 === 0 ? after * 1_000 : -after * 1_000);
            else one?.become(condition);
            for (let passed = 0; passed < after; passed += 500) {
              assert.ok(leaders(helpers).length <= 1, leaders(helpers).join());
              await clock.advance(Math.min(500, after - passed));
            }
          }
          for (const helper of helpers) helper.become("well");
          await clock.advance(60 * second);
          assert.equal(leaders(helpers).length, 1, "and one works in the end");
        });
      }),
      { numRuns: 150 },
    );
  });

  for (const asks of [false, true])
    it(`does not give it back to one that was cut off while another one took it, and somebody deleted it, ${asks ? "even if it asks" : "if it waits"}`, async () => {
      await withHelpers(2, async (helpers, clock, lease) => {
        await clock.advance(100);
        const holder = holderOf(helpers);
        holder.candidacy = { ...holder.candidacy, asks: () => asks };
        holder.become("cut off");
        await takeover(helpers, clock, holder.name);
        const next = holderOf(helpers);
        lease.delete();
        next.become("cut off");
        holder.become("well");
        for (let passed = 0; passed < leaseTimes.renewDeadline; passed += 100) {
          assert.ok(leaders(helpers).length <= 1, leaders(helpers).join());
          await clock.advance(100);
        }
      });
    });

  it("lets a helper that resumes after a pause write nothing, before any timer has run", async () => {
    await withHelpers(2, async (helpers, clock) => {
      await clock.advance(100);
      const holder = holderOf(helpers);
      holder.become("paused");
      await clock.advance(leaseTimes.renewDeadline);
      assert.equal(holder.elector.isLeading(), false);
      assert.equal(holder.term?.lost.aborted, false, "it has not even noticed");
    });
  });

  it("hands the Lease over to the helper that asks for it, and back if that one was to clean up only", async () => {
    const [clock, lease] = [new VirtualClock("2026-11-26T00:00:00Z"), new SimulatedLease()];
    const [old, next] = [new SimulatedHelper("old", clock, lease), new SimulatedHelper("next", clock, lease, "t2")];
    const third = new SimulatedHelper("third", clock, lease);
    const runs = [old.run()];
    await clock.advance(100);
    runs.push(third.run(), next.run());
    await clock.advance(5 * second);
    assert.deepEqual(leaders([old, next, third]), ["old"]);
    next.candidacy = { ...next.candidacy, asks: () => !next.elector.isLeading() };
    await clock.advance(3 * second);
    assert.deepEqual(leaders([old, next, third]), ["next"]);
    assert.ok(old.elector.sinceHandOver() <= 3 * second);
    assert.equal(next.elector.sinceHandOver(), Infinity);
    next.candidacy = { ...next.candidacy, asks: () => false };
    const before = old.term;
    old.cleansUp = true;
    old.stop();
    // Each step lets news pass from one to the other.
    for (let step = 0; step < 20; step++) await clock.advance(100);
    assert.notEqual(old.term, before, "it had it once more");
    assert.deepEqual(leaders([old, next, third]), ["next"], "and not the third, which waits as well");
    for (const one of [old, next, third]) one.stop();
    await clock.advance(60 * second);
    await Promise.all(runs);
  });

  it("hands the Lease over to a pod that ends each time it has it only once in a while", async () => {
    const [clock, lease] = [new VirtualClock("2026-11-26T00:00:00Z"), new SimulatedLease()];
    const [good, bad] = [new SimulatedHelper("good", clock, lease), new SimulatedHelper("bad", clock, lease, "t2")];
    const runs = [good.run()];
    await clock.advance(100);
    let terms = 0;
    bad.candidacy = { ...bad.candidacy, asks: () => true };
    const stop = new AbortController();
    runs.push(bad.elector.follow(stop.signal));
    for (let minute = 0; minute < 11; minute++) {
      const acquired = bad.elector.acquire(bad.candidacy, stop.signal);
      void acquired.then(async (term) => {
        terms++;
        bad.become("paused");
        return term?.end();
      });
      await clock.advance(60 * second);
      bad.become("well");
    }
    assert.ok(terms >= 2 && terms <= 3, String(terms));
    assert.deepEqual(leaders([good, bad]), ["good"]);
    good.stop();
    stop.abort();
    await clock.advance(60 * second);
    await Promise.all(runs);
  });

  it("prefers a helper of the last holder's pod template", async () => {
    const [clock, lease] = [new VirtualClock("2026-11-26T00:00:00Z"), new SimulatedLease()];
    const templates = ["new", "old", "new"];
    const helpers = templates.map(
      (template, index) => new SimulatedHelper(`h${String(index)}`, clock, lease, template),
    );
    const [first, old, next] = helpers as [SimulatedHelper, SimulatedHelper, SimulatedHelper];
    const runs = [first.run()];
    await clock.advance(100);
    runs.push(old.run());
    await clock.advance(100);
    runs.push(next.run());
    await clock.advance(100);
    first.stop();
    assert.ok((await takeover(helpers, clock, first.name)) <= 500);
    assert.deepEqual(leaders(helpers), [next.name]);
    next.stop();
    assert.ok((await takeover(helpers, clock, next.name)) < 10 * second, "rather than nobody");
    assert.deepEqual(leaders(helpers), [old.name]);
    old.stop();
    await clock.advance(60 * second);
    await Promise.all(runs);
  });

  it("prefers a helper that could work at once", async () => {
    const [clock, lease] = [new VirtualClock("2026-11-26T00:00:00Z"), new SimulatedLease()];
    const names = ["first", "unprepared", "prepared"];
    const helpers = names.map((name) => new SimulatedHelper(name, clock, lease));
    const [first, unprepared, prepared] = helpers as [SimulatedHelper, SimulatedHelper, SimulatedHelper];
    unprepared.candidacy = { ...unprepared.candidacy, isPrepared: () => false };
    const runs = [first.run()];
    await clock.advance(100);
    runs.push(unprepared.run(), prepared.run());
    await clock.advance(100);
    first.stop();
    assert.ok((await takeover(helpers, clock, "first")) <= 500);
    assert.deepEqual(leaders(helpers), ["prepared"]);
    prepared.stop();
    assert.ok((await takeover(helpers, clock, "prepared")) < 10 * second, "rather than nobody");
    unprepared.stop();
    await clock.advance(60 * second);
    await Promise.all(runs);
  });
});
