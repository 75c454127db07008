import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { WorkQueue } from "../../helper/controller/work-queue.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/** A queue whose work takes a second for each key. `begun` has "SECOND KEY" for each start. */
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

describe("the work queue", () => {
  it("starts urgent keys first, and each key once however often it was added", async () => {
    const { clock, begun, queue, idles } = queueOf(1);
    for (const key of ["a", "b", "c", "b"]) queue.add(key, false);
    for (const key of ["d", "c"]) queue.add(key, true);
    await clock.advance(10_000);
    assert.deepEqual(begun, ["0 a", "1 d", "2 c", "3 b"]);
    assert.equal(idles(), 1);
  });

  it("works again on a key that was added while it was worked on", async () => {
    const { clock, begun, queue } = queueOf(2);
    queue.add("a", false);
    await clock.advance(500);
    queue.add("a", true);
    queue.add("a", false);
    await clock.advance(5_000);
    assert.deepEqual(begun, ["0 a", "1 a"]);
  });

  it("works on a delayed key once when its shortest delay is over, or sooner when it is added meanwhile", async () => {
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

  it("measures how long due work has made no progress", async () => {
    const { clock, queue } = queueOf(1);
    assert.equal(queue.stalled(), 0);
    queue.addAfter("a", 100_000);
    await clock.advance(50_000);
    assert.equal(queue.stalled(), 0, "a delayed key is not due");
    queue.add("a", true);
    await clock.advance(700);
    assert.equal(queue.stalled(), 700);
    await clock.advance(1_000);
    assert.equal(queue.stalled(), 0);
  });

  it("is not misled when somebody sets the clock", async () => {
    const { clock, begun, queue } = queueOf(1);
    queue.add("a", false);
    await clock.advance(500);
    clock.set(3_600_000);
    assert.equal(queue.stalled(), 500);
    queue.addAfter("b", 5_000);
    clock.set(-7_200_000);
    queue.addAfter("b", 60_000);
    await clock.advance(5_000);
    assert.equal(begun.length, 2, "the shortest delay counts");
  });

  it("starts nothing after it was closed", async () => {
    const { clock, begun, queue } = queueOf(1);
    queue.add("a", false);
    queue.add("b", false);
    queue.addAfter("c", 5_000);
    void queue.close();
    await clock.advance(100_000);
    assert.deepEqual(begun, ["0 a"]);
    queue.addAfter("d", 5_000);
    assert.equal(clock.pending, 0, "a timer would keep the process alive");
  });

  it("loses no key: each is worked on after it was added for the last time", async () => {
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
          assert.ok((times.at(-1) ?? -1) >= at, `${key} was added at ${String(at)} and started at ${times.join(", ")}`);
        }
      }),
      { numRuns: 100 },
    );
  });
});
