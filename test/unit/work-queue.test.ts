import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { WorkQueue } from "../../helper/controller/work-queue.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** A queue whose every piece of work takes a second. */
function queueOf(concurrency: number) {
  const clock = new VirtualClock("2026-11-23T00:00:00Z");
  const start = clock.now();
  const begun: string[] = [];
  const running = new Set<string>();
  let idles = 0;
  const queue = new WorkQueue(
    async (key) => {
      assert.ok(!running.has(key), `${key} is worked on twice at a time`);
      running.add(key);
      assert.ok(running.size <= concurrency);
      begun.push(`${String((clock.now() - start) / 1000)} ${key}`);
      await clock.sleep(1_000, new AbortController().signal);
      running.delete(key);
    },
    { clock, concurrency: () => concurrency, idle: () => idles++ },
  );
  return { clock, begun, queue, idles: () => idles };
}

describe("the queue", () => {
  it("does what is urgent before the rest, and each key once however often it was added", async () => {
    const { clock, begun, queue, idles } = queueOf(1);
    for (const key of ["a", "b", "c", "b"]) queue.add(key, false);
    for (const key of ["d", "c"]) queue.add(key, true);
    await clock.advance(10_000);
    assert.deepEqual(begun, ["0 a", "1 d", "2 c", "3 b"]);
    assert.equal(idles(), 1);
  });

  it("does again what was added while it was worked on", async () => {
    const { clock, begun, queue } = queueOf(2);
    queue.add("a", false);
    await clock.advance(500);
    queue.add("a", true);
    queue.add("a", false);
    await clock.advance(5_000);
    assert.deepEqual(begun, ["0 a", "1 a"]);
  });

  it("does in time what was put off, once, or sooner when it is added otherwise", async () => {
    const { clock, begun, queue } = queueOf(2);
    queue.addAfter("a", 5_000);
    queue.addAfter("a", 3_000);
    queue.addAfter("a", 4_000);
    queue.addAfter("b", 60_000);
    await clock.advance(2_000);
    queue.add("b", true);
    await clock.advance(100_000);
    assert.deepEqual(begun, ["2 b", "3 a"]);
  });

  it("tells how long nothing was done while something was due", async () => {
    const { clock, queue } = queueOf(1);
    assert.equal(queue.stalled(), 0);
    queue.addAfter("a", 100_000);
    await clock.advance(50_000);
    assert.equal(queue.stalled(), 0, "what waits for its time is not due");
    queue.add("a", true);
    await clock.advance(700);
    assert.equal(queue.stalled(), 700);
    await clock.advance(1_000);
    assert.equal(queue.stalled(), 0);
  });

  it("begins nothing more after its end", async () => {
    const { clock, begun, queue } = queueOf(1);
    queue.add("a", false);
    queue.add("b", false);
    queue.addAfter("c", 5_000);
    queue.close();
    await clock.advance(100_000);
    assert.deepEqual(begun, ["0 a"]);
  });

  it("loses nothing: whatever was added is done after it was added for the last time", async () => {
    const step = fc.record({
      key: fc.constantFrom("a", "b", "c", "d"),
      urgent: fc.boolean(),
      later: fc.option(fc.integer({ min: 0, max: 3_000 }), { nil: undefined }),
      pause: fc.integer({ min: 0, max: 1_500 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step), fc.integer({ min: 1, max: 3 }), async (steps, concurrency) => {
        const { clock, begun, queue } = queueOf(concurrency);
        const last = new Map<string, number>();
        let now = 0;
        for (const { key, urgent, later, pause } of steps) {
          last.set(key, now / 1000);
          if (later === undefined) queue.add(key, urgent);
          else queue.addAfter(key, later);
          await clock.advance(pause);
          now += pause;
        }
        await clock.advance(60_000);
        for (const [key, at] of last) {
          const times = begun.filter((one) => one.endsWith(` ${key}`)).map((one) => Number(one.split(" ")[0]));
          assert.ok((times.at(-1) ?? -1) >= at, `${key} was added at ${String(at)} and done at ${times.join(", ")}`);
        }
      }),
      { numRuns: 100 },
    );
  });
});
