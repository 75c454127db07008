import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FailureTracker } from "../../helper/controller/failure-tracker.ts";
import { noEntries } from "../../helper/resources/service-account.ts";
import { minute, refusal, simulate, writesOf } from "../support/controller-simulation.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const env = { ECR_HELPER_SERVICE_ACCOUNTS: "builder-sa,ci-*", ECR_HELPER_SERVICE_ACCOUNT_SELECTOR: "pulls=yes" };

describe("service accounts that a pattern or a selector includes", () => {
  it("get their entries as soon as they appear or match, after those that are named, and lose them when they match no more", async () => {
    const { writes, newToken, deliver } = simulate(env);
    await deliver((watch) => watch.setForeignAccount("a", "ci-1", {}));
    await deliver((watch) => watch.setForeignAccount("a", "other", {}));
    await newToken();
    assert.deepEqual(
      writes.filter((write) => write.endsWith(" in a")),
      [...writesOf("a"), "0 apply ci-1 in a"],
    );
    writes.length = 0;
    await deliver((watch) => watch.setForeignAccount("a", "ci-2", {}));
    await deliver((watch) => watch.setForeignAccount("a", "other", { pulls: "yes" }));
    // The simulated write takes the label away.
    assert.deepEqual(writes, ["0 apply ci-2 in a", "0 apply other in a", "0 release other in a"]);
  });

  it("are not made when they are deleted", async () => {
    const { writes, newToken, deliver, drifted } = simulate(env);
    await newToken();
    await deliver((watch) => watch.setForeignAccount("a", "ci-1", {}));
    writes.length = 0;
    await deliver((watch) => watch.deleteAccount("a", "ci-1"));
    await newToken();
    assert.deepEqual([writes.filter((write) => write.includes("ci-1")), drifted], [[], []]);
  });

  it("are written more and more slowly when somebody takes their entries away again and again", async () => {
    const { writes, newToken, deliver, clock, warned, stop } = simulate(env);
    await newToken();
    writes.length = 0;
    for (let second = 0; second < 3600; second++) {
      await deliver((watch) => watch.setAccount("a", "ci-1", noEntries));
      await clock.advance(1_000);
    }
    stop();
    assert.ok(writes.length > 15 && writes.length < 80, String(writes.length));
    assert.deepEqual(warned, ["Contested a/serviceaccount/ci-1"]);
  });

  it("do not hold up other namespaces, however many there are and however long each takes", async () => {
    const { writes, newToken, deliver, setSyncState, account, clock, controller } = simulate(env);
    setSyncState(() => "unknown");
    for (let index = 0; index < 100; index++)
      await deliver((watch) => watch.setForeignAccount("a", `ci-${String(index)}`, {}));
    account.milliseconds = 500;
    setSyncState(() => "known");
    await newToken();
    await clock.advance(4_000);
    const perTurn = writes.filter((write) => write.includes("apply ci-")).length;
    assert.ok(perTurn <= 8, `${String(perTurn)} of a namespace in two turns`);
    assert.equal(controller.states().get("b"), "synced");
    assert.equal(
      controller.states().get("a") ?? "pending",
      "pending",
      "its first pass is not over: nobody may remove what it had",
    );
    await clock.advance(minute);
    assert.equal(writes.filter((write) => write.includes("apply ci-")).length, 100, "each once");
    assert.equal(controller.states().get("a"), "synced");
    assert.equal(controller.stalled(), 0);
  });

  it("of a tenant who makes and deletes them all the time are written ten a second, so that the helper is idle now and then", async () => {
    const { writes, lines, newToken, deliver, clock, controller } = simulate(env);
    await newToken();
    writes.length = lines.length = 0;
    const milliseconds = 30_000;
    for (let time = 0, index = 0; time < milliseconds; time += 5, index++) {
      await deliver((watch) => watch.setForeignAccount("a", `ci-${String(index)}`, {}));
      if (index > 0) await deliver((watch) => watch.deleteAccount("a", `ci-${String(index - 1)}`));
      assert.equal(controller.stalled(), 0);
      await clock.advance(5);
    }
    assert.ok(writes.length <= 1_000 + milliseconds / 100 + 1, String(writes.length));
    assert.ok(writes.length > 1_000 + milliseconds / 200, String(writes.length));
    assert.ok(lines.length <= writes.length, String(lines.length));
    await clock.advance(1_000);
    assert.equal(controller.states().get("a"), "synced");
  });

  it("that fail are tried again, and forgotten when they are deleted", async () => {
    const { writes, newToken, deliver, clock, controller, lines } = simulate(env, (write) =>
      write.includes("ci-1 ") ? refusal(422, "Invalid") : undefined,
    );
    await newToken();
    await deliver((watch) => watch.setForeignAccount("a", "ci-1", {}));
    await clock.advance(5_000);
    assert.equal(writes.filter((write) => write.includes("ci-1")).length, 4);
    assert.equal(lines.filter((line) => line.startsWith("error")).length, 1);
    await deliver((watch) => watch.deleteAccount("a", "ci-1"));
    assert.equal(controller.states().get("a"), "synced");
    await clock.advance(10 * minute);
    assert.equal(writes.filter((write) => write.includes("ci-1")).length, 4);
  });
});

describe("the failures of objects that do not exist any more", () => {
  it("are forgotten, those that others changed lately only where there are too many", () => {
    const clock = new VirtualClock("2026-11-23T00:00:00Z");
    const ignore = (): void => undefined;
    const tracker = new FailureTracker({
      warn: ignore,
      log: ignore,
      metrics: { failed: ignore, drifted: ignore },
      clock,
      random: () => 0,
    });
    const refs = Array.from({ length: 1_001 }, (_, index) => ({
      kind: "ServiceAccount" as const,
      name: `ci-${String(index)}`,
    }));
    const remembered = (): number => refs.filter((one) => tracker.remainingBackoff("a", one) > 0).length;
    const contest = (one: (typeof refs)[number]): void => {
      for (let count = 0; count < 3; count++) tracker.removed("a", one);
    };
    for (const one of refs.slice(1)) contest(one);
    tracker.forgetGone("a", () => false);
    assert.equal(remembered(), 1_000, "whoever makes one again is met as before");
    contest({ kind: "ServiceAccount", name: "ci-0" });
    tracker.forgetGone("a", ({ name }) => name === "ci-7");
    assert.equal(remembered(), 1);
  });
});
