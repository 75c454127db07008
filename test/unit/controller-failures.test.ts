import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FailureTracker } from "../../helper/controller/failure-tracker.ts";
import { minute, refusal, simulate } from "../support/controller-simulation.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

describe("a failure", () => {
  it("is retried with exponential backoff, at least once a minute, and does not delay other objects", async () => {
    let refused = true;
    const isRefused = (write: string): boolean => refused && write === "apply ecr-creds in a";
    const { writes, newToken, clock, controller, warned, lines } = simulate({}, (write) =>
      isRefused(write) ? refusal(422, "Invalid") : undefined,
    );
    await newToken();
    assert.equal(controller.states().get("b"), "synced");
    await clock.advance(10 * minute);
    const times = writes
      .filter((write) => write.endsWith("apply ecr-creds in a"))
      .map((write) => Number(write.split(" ")[0]));
    assert.deepEqual(times.slice(0, 5), [0, 0.5, 1.5, 3.5, 7.5]);
    assert.ok(times.slice(1).every((time, index) => time - (times[index] ?? 0) <= 60));
    assert.equal(writes.filter((write) => write.endsWith("pull in a")).length, 1, "what did not fail is not repeated");
    assert.deepEqual(warned, ["ApplyFailed a/secret/ecr-creds"]);
    assert.equal(lines.filter((line) => line.startsWith("error")).length, 1, "the log does not repeat itself");
    refused = false;
    await clock.advance(minute);
    assert.equal(controller.states().get("a"), "synced");
  });

  it("of an object itself does not delay others that wait for the API server", () => {
    const nothing = (): void => undefined;
    const clock = new VirtualClock("2026-11-23T00:00:00Z");
    const metrics = { failed: nothing, drifted: nothing };
    const tracker = new FailureTracker({ clock, metrics, log: nothing, warn: nothing, random: () => 1 });
    for (let index = 0; index < 1_000; index++)
      tracker.failed("theirs", { kind: "ServiceAccount", name: String(index) }, refusal(422, "Invalid"));
    const object = { kind: "Secret", name: "ecr-creds" } as const;
    const waits = Array.from({ length: 10 }, () => tracker.failed("ours", object, refusal(503)) ?? 0);
    assert.equal(Math.max(...waits), 3_000);
  });

  it("is retried in time, although somebody sets the clock back", async () => {
    let refused = true;
    const { newToken, clock, controller } = simulate({}, (write) =>
      refused && write === "apply ecr-creds in a" ? refusal(422, "Invalid") : undefined,
    );
    await newToken();
    refused = false;
    clock.set(-60 * minute);
    await clock.advance(minute);
    assert.equal(controller.states().get("a"), "synced");
  });

  it("of the object itself is retried soon, however long the API server was unavailable before", async () => {
    const since = Date.parse("2026-11-23T00:00:00Z");
    const { writes, newToken, clock } = simulate({}, (write) => {
      if (write !== "apply ecr-creds in a") return undefined;
      return clock.now() < since + minute ? refusal(503) : refusal(404, "NotFound");
    });
    await newToken();
    await clock.advance(2 * minute);
    const times = writes.filter((write) => write.endsWith("creds in a")).map((write) => Number(write.split(" ")[0]));
    const [first = 0, ...next] = times.filter((time) => time >= 60);
    assert.deepEqual(
      next.slice(0, 3).map((time) => time - first),
      [0.5, 1.5, 3.5],
    );
  });

  it("is no error when it is a conflict or the namespace is terminating", async () => {
    let count = 0;
    const { newToken, lines, warned, clock } = simulate({}, (write) => {
      if (write.endsWith("creds in a") && count++ < 2) return refusal(409, "Conflict");
      return write.endsWith("creds in b") ? refusal(403, "NamespaceTerminating") : undefined;
    });
    await newToken();
    await clock.advance(5_000);
    assert.deepEqual(
      lines.filter((line) => line.startsWith("error")),
      [],
    );
    assert.deepEqual(warned, []);
  });

  it("of the helper itself is logged, and the namespace is reconciled again later", async () => {
    const { newToken, lines, controller, clock, setSyncState } = simulate();
    setSyncState((namespace) => {
      if (namespace === "a" && clock.now() < Date.parse("2026-11-23T00:00:30Z")) throw new TypeError("a mistake");
      return "known";
    });
    await newToken();
    assert.ok(lines.some((line) => line.startsWith("error internal error in namespace a: TypeError: a mistake")));
    assert.equal(controller.states().get("a"), "failing");
    assert.equal(controller.states().get("b"), "synced");
    await clock.advance(2 * minute);
    assert.equal(controller.states().get("a"), "synced");
  });
});
