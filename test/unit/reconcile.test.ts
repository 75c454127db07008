import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ForeignObjectError, type ObjectResult, type Target } from "../../helper/apply.ts";
import { KubeError } from "../../helper/kube.ts";
import { reconcile, type Effects } from "../../helper/reconcile.ts";
import type { AuthorizationToken } from "../../helper/token.ts";

const hour = 3_600_000;
const targets: Target[] = ["a", "b"].map((namespace) => ({ namespace, builds: true }));
const good: ObjectResult[] = [{ object: "secret/ecr-creds", outcome: "configured" }];
const bad = (error: unknown): ObjectResult[] => [{ object: "secret/ecr-creds", outcome: "failed", error }];
const call = { method: "PATCH", path: "/x" } as const;

/** Runs the loop on a clock of its own, which jumps from sleep to sleep, until `hours` have passed on it. */
async function simulate(
  hours: number,
  behaviour: {
    token?: (region: string, now: number, count: number) => AuthorizationToken;
    apply?: (target: Target, now: number, tokens: ReadonlyMap<string, AuthorizationToken>) => ObjectResult[];
    regions?: string[];
  },
) {
  const start = Date.parse("2026-11-23T00:00:00Z");
  let now = start;
  let readyAt: number | undefined;
  let asked = 0;
  const over = new AbortController();
  const lines: string[] = [];
  const applied: { only: string[] | undefined; at: number; namespace: string; password: string | undefined }[] = [];
  const requests: { at: number; region: string }[] = [];
  const warned: string[] = [];
  const token = behaviour.token ?? ((_, at) => ({ username: "AWS", password: String(at), expiresAt: at + 12 * hour }));
  const effects: Effects = {
    tokenSource: async (region) => {
      requests.push({ at: now - start, region });
      return Promise.resolve(token(region, now, asked++));
    },
    apply: async (target, tokens, only) => {
      applied.push({
        only: only && [...only],
        at: now - start,
        namespace: target.namespace,
        password: tokens.get("r")?.password,
      });
      return Promise.resolve(behaviour.apply?.(target, now - start, tokens) ?? good);
    },
    warn: async (target) => Promise.resolve(void warned.push(target.namespace)),
    log: (level, message) => void lines.push(`${level} ${message}`),
    now: () => now,
    random: () => 0,
    sleep: async (milliseconds) => {
      assert.ok(milliseconds >= 0 && Number.isFinite(milliseconds), `a sleep of ${String(milliseconds)}`);
      now += milliseconds;
      if (now >= start + hours * hour) over.abort();
      return Promise.resolve();
    },
    beat: (until) => assert.ok(until > now),
    ready: () => (readyAt = now - start),
  };
  await reconcile(behaviour.regions ?? ["r"], targets, effects, over.signal);
  return { lines, applied, requests, warned, readyAt };
}

describe("the loop", () => {
  it("asks once per region at half of the token's life, and applies every namespace each time", async () => {
    const { requests, applied, readyAt } = await simulate(24, {});
    assert.deepEqual(
      requests.map(({ at }) => at / hour),
      [0, 6, 12, 18],
    );
    assert.equal(applied.length, 4 * targets.length);
    assert.equal(readyAt, 0);
  });

  it("logs the origin's lines", async () => {
    const { lines } = await simulate(1, {});
    assert.deepEqual(lines, [
      "info secret/ecr-creds configured in namespace a",
      "info secret/ecr-creds configured in namespace b",
      "info the secret will expire at Mon Nov 23 12:00:00 UTC 2026.",
    ]);
  });

  it("keeps the last good token when ECR refuses, and asks again sooner and sooner less", async () => {
    const { requests, applied, lines } = await simulate(7, {
      token: (_, at, count) => {
        if (count > 0) throw new Error("refused");
        return { username: "AWS", password: "first", expiresAt: at + 12 * hour };
      },
    });
    assert.equal(applied.length, targets.length, "nothing is written while nothing is new");
    const waits = requests.slice(2).map(({ at }, index) => at - (requests[index + 1]?.at ?? 0));
    assert.deepEqual(waits.slice(0, 4), [500, 1_000, 2_000, 4_000]);
    assert.ok(Math.max(...waits) <= 300_000);
    assert.match(
      lines.at(-1) ?? "",
      /error no authorization token for r: refused; the last good token stays in place; trying again in 150.0 s/,
    );
  });

  it("does not run hot on tokens that have ended on arrival", async () => {
    const { requests } = await simulate(1, {
      token: (_, at) => ({ username: "AWS", password: "x", expiresAt: at - hour }),
    });
    assert.equal(requests.length, 60);
  });

  it("retries the namespace that failed and no other", async () => {
    const { applied, readyAt, lines } = await simulate(1, {
      apply: ({ namespace }, at) => (namespace === "a" && at < 10_000 ? bad(new KubeError(call, 500, "{}")) : good),
    });
    assert.equal(applied.filter(({ namespace }) => namespace === "b").length, 1);
    assert.deepEqual(
      applied.filter(({ namespace }) => namespace === "a").map(({ at }) => at),
      [0, 500, 1_500, 3_500, 7_500, 15_500],
    );
    assert.equal(readyAt, 15_500);
    assert.match(
      lines.find((line) => line.startsWith("error")) ?? "",
      /secret\/ecr-creds failed in namespace a: .*500.*; trying again in 0.5 s/,
    );
  });

  it("retries the objects that failed and no others, and all of them with a new token", async () => {
    const { applied } = await simulate(7, {
      apply: ({ namespace }) =>
        namespace === "a" ? [...bad(new Error("no")), { object: "secret/other", outcome: "configured" }] : good,
    });
    const ofA = applied.filter(({ namespace }) => namespace === "a");
    assert.deepEqual(
      ofA.filter(({ only }) => only === undefined).map(({ at }) => at / hour),
      [0, 6],
    );
    for (const { only } of ofA) assert.ok(only === undefined || (only.length === 1 && only[0] === "secret/ecr-creds"));
  });

  it("goes on after a pass that ended by a mistake of its own, and not at once", async () => {
    let mistakes = 0;
    const { applied, lines, readyAt } = await simulate(1, {
      apply: () => {
        if (mistakes++ < 4) throw new TypeError("a mistake");
        return good;
      },
      token: (_, at) => ({ username: "AWS", password: "x", expiresAt: at + 60_000 }),
    });
    assert.ok(lines.some((line) => line.includes("a pass ended half-way: a mistake; the next comes in 0.5 s")));
    assert.ok(applied.length > 10 && readyAt !== undefined);
  });

  it("is ready although a namespace is gone, says so once, and serves it when it is back", async () => {
    const { applied, readyAt, lines } = await simulate(1, {
      apply: ({ namespace }, at) => (namespace === "a" && at < 600_000 ? bad(new KubeError(call, 404, "{}")) : good),
    });
    assert.equal(readyAt, 0);
    assert.equal(lines.filter((line) => line.includes("namespace a does not exist")).length, 1);
    const last = applied.filter(({ namespace }) => namespace === "a").at(-1)?.at ?? 0;
    assert.ok(last >= 600_000 && last < 900_000);
  });

  it("is not ready while a namespace fails otherwise", async () => {
    const { readyAt } = await simulate(1, {
      apply: ({ namespace }) => (namespace === "a" ? bad(new Error("no")) : good),
    });
    assert.equal(readyAt, undefined);
  });

  it("records a foreign object once, as long as it stays", async () => {
    const { warned, lines } = await simulate(1, {
      apply: ({ namespace }) => (namespace === "a" ? bad(new ForeignObjectError("theirs")) : good),
    });
    assert.deepEqual(warned, ["a"]);
    assert.ok(lines.filter((line) => line.includes("theirs")).length > 5);
  });

  it("goes on for the other regions when one is refused", async () => {
    const { applied, readyAt } = await simulate(13, {
      regions: ["r", "s"],
      token: (region, at) => {
        if (region === "s") throw new Error("refused");
        return { username: "AWS", password: String(at), expiresAt: at + 12 * hour };
      },
    });
    assert.deepEqual([...new Set(applied.map(({ at }) => at / hour))].length, 3);
    assert.equal(readyAt, undefined, "the refresh is not complete");
  });
});
