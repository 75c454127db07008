// In a rollout the next helper lends the Lease back to the last one, for a clean-up, before it is ready.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { leaseTimes } from "../../helper/election/lease.ts";
import { SimulatedHelper, leaders, type Condition } from "../support/simulated-election.ts";
import { SimulatedLease } from "../support/simulated-lease.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const second = 1_000;
const step = 50;

/** A rollout: `old` works and has something to clean up, and `next`, of another template, asks until it has worked. */
class Rollout {
  readonly clock = new VirtualClock("2026-11-26T00:00:00Z");
  readonly lease = new SimulatedLease();
  readonly old = new SimulatedHelper("old", this.clock, this.lease);
  readonly next = new SimulatedHelper("next", this.clock, this.lease, "t2");
  readonly sibling = new SimulatedHelper("sibling", this.clock, this.lease, "t2");
  readonly all: readonly SimulatedHelper[] = [this.old, this.next, this.sibling];
  readonly #runs: Promise<void>[] = [];

  /** Starts all three. `old` holds the Lease, and `next` asks from now on. */
  async start(): Promise<void> {
    this.old.isCleaner = true;
    this.#runs.push(this.old.run());
    await this.pass(200);
    let hasWorked = false;
    this.next.candidacy = { ...this.next.candidacy, asks: () => !(hasWorked ||= this.next.elector.isLeading()) };
    this.#runs.push(this.next.run(), this.sibling.run());
  }

  /** Lets time pass, in steps that bring news from one to another, while at most one may write. */
  async pass(milliseconds: number): Promise<void> {
    for (let passed = 0; passed < milliseconds; passed += step) {
      await this.clock.advance(step);
      assert.ok(leaders(this.all).length <= 1, leaders(this.all).join());
    }
  }

  /** The helper that works, rather than cleans up only. */
  working(): string | undefined {
    return this.all.find(({ elector, term }) => elector.isLeading() && term?.lentFor === undefined)?.name;
  }

  annotation(name: string): string | undefined {
    return this.lease.stored?.metadata.annotations?.[`ecr-helper/${name}`];
  }

  async end(): Promise<void> {
    for (const one of this.all) one.become("well");
    for (const one of this.all) one.stop();
    await this.clock.advance(60 * second);
    await Promise.all(this.#runs);
  }
}

/** What happens to one of the helpers, or to the Lease, where `name` becomes the cleaner if it is edited. */
interface Event {
  readonly who: "old" | "next" | "sibling";
  readonly what: Condition | "edited" | "deleted";
  readonly name: string;
  /** The time until the next event, in tenths of a second. */
  readonly after: number;
}

async function withRollout(work: (rollout: Rollout) => Promise<void>): Promise<void> {
  const rollout = new Rollout();
  await rollout.start();
  try {
    await work(rollout);
  } finally {
    await rollout.end();
  }
}

describe("a Lease that was handed over in a rollout", () => {
  it("is lent back once everything is written, and given back after the clean-up", async () => {
    await withRollout(async (rollout) => {
      const { old, next, all } = rollout;
      while (rollout.working() !== "next") await rollout.pass(step);
      assert.equal(rollout.annotation("cleaner"), "old");
      while (old.lent === 0) await rollout.pass(step);
      assert.deepEqual(leaders(all), ["old"]);
      assert.equal(old.term?.lentFor, "everything");
      await rollout.pass(500);
      const seen = { template: next.elector.holder?.template, cleaner: next.elector.holder?.cleaner };
      assert.deepEqual(seen, { template: "t2", cleaner: "old" }, "what it says to helpers that stand by");
      await rollout.pass(second);
      assert.equal(rollout.working(), "next");
      assert.deepEqual([rollout.annotation("cleaner"), rollout.annotation("written")], [undefined, undefined]);
      const { term } = next;
      await rollout.pass(600 * second);
      assert.deepEqual([next.term, old.lent, rollout.sibling.term], [term, 1, undefined]);
    });
  });

  it("is not lent where there is nothing to clean up", async () => {
    await withRollout(async (rollout) => {
      rollout.old.isCleaner = false;
      await rollout.pass(60 * second);
      assert.deepEqual([rollout.working(), rollout.old.lent], ["next", 0]);
    });
  });

  it("is not lent to a helper that has ended meanwhile", async () => {
    await withRollout(async (rollout) => {
      while (rollout.working() !== "next") await rollout.pass(step);
      rollout.old.stop();
      await rollout.pass(200);
      assert.equal(rollout.annotation("cleaner"), undefined);
      const { term } = rollout.next;
      await rollout.pass(10 * second);
      assert.equal(rollout.working(), "next");
      assert.equal(rollout.next.term, term, "it has the one that it had");
    });
  });

  for (const [who, how] of [
    ["old", "vanishes"],
    ["old", "ends"],
    ["next", "vanishes"],
    ["next", "ends"],
  ] as const) {
    it(`works on in time at whatever moment the ${who === "old" ? "last" : "next"} helper ${how}`, async () => {
      for (let moment = 0; moment < 6 * second; moment += 100) {
        await withRollout(async (rollout) => {
          await rollout.pass(moment);
          if (how === "ends") rollout[who].stop();
          else rollout[who].become("paused");
          // One Lease may have to end for the helper that vanished, and another one that it was about to be lent.
          await rollout.pass(2 * leaseTimes.duration + 2 * leaseTimes.retryPeriod + 5 * second);
          const working = rollout.working();
          assert.ok(working !== undefined && working !== who, `${String(working)} after ${String(moment)} ms`);
          const cleaner = rollout.annotation("cleaner");
          await rollout.pass(5 * second);
          assert.equal(rollout.working(), working);
          assert.equal(cleaner, undefined, `nobody waits for it after ${String(moment)} ms`);
        });
      }
    });
  }

  /** `old` misses how `next` takes the Lease, between two deletions. */
  const missedTwice: readonly Event[] = [
    { who: "old", what: "cut off", name: "", after: 1 },
    { who: "old", what: "deleted", name: "", after: 36 },
    { who: "old", what: "well", name: "", after: 18 },
    { who: "old", what: "cut off", name: "", after: 29 },
    { who: "old", what: "well", name: "", after: 27 },
    { who: "old", what: "cut off", name: "", after: 47 },
    { who: "old", what: "deleted", name: "", after: 60 },
    { who: "old", what: "deleted", name: "", after: 3 },
  ];

  it("never has two that may write, and one works in the end, whatever is paused, cut off, ended or edited", async () => {
    const event: fc.Arbitrary<Event> = fc.record({
      who: fc.constantFrom("old", "next", "sibling"),
      what: fc.constantFrom("well", "paused", "cut off", "edited", "deleted"),
      name: fc.constantFrom("old", "next", "sibling", "x", ""),
      after: fc.integer({ min: 1, max: 60 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 10 }), async (events) => {
        await withRollout(async (rollout) => {
          await rollout.pass(step);
          for (const { who, what, name, after } of events) {
            if (what === "deleted") rollout.lease.delete();
            else if (what !== "edited") rollout[who].become(what);
            else if (rollout.lease.stored !== undefined)
              rollout.lease.edit({ annotations: { "ecr-helper/cleaner": name, "ecr-helper/written": who } });
            await rollout.pass(after * 100);
          }
          for (const one of rollout.all) one.become("well");
          await rollout.pass(60 * second);
          assert.notEqual(rollout.working(), undefined);
        });
      }),
      { numRuns: 60, examples: [[missedTwice]] },
    );
  });
});
