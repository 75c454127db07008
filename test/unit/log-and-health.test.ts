import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Health } from "../../helper/health.ts";
import { createLog, formatDate, reasonOf } from "../../helper/log.ts";

describe("the log", () => {
  const capture = (...[format, level]: [Parameters<typeof createLog>[0], Parameters<typeof createLog>[1]]) => {
    const lines: string[] = [];
    return { log: createLog(format, level, (line) => lines.push(line)), lines };
  };

  it("is the origin's words in text", () => {
    const { log, lines } = capture("text", "info");
    log("info", "Deployment: ecr-helper-57964b6d97-qmdsv", { pod: "x" });
    log("error", "no");
    log("debug", "unseen");
    assert.deepEqual(lines, ["Deployment: ecr-helper-57964b6d97-qmdsv\n", "error: no\n"]);
  });

  it("has the fields in JSON", () => {
    const { log, lines } = capture("json", "debug");
    log("warn", "careful", { namespace: "a" });
    const { time, ...rest } = JSON.parse(lines[0] ?? "") as Record<string, string>;
    assert.deepEqual(rest, { level: "warn", message: "careful", namespace: "a" });
    assert.ok(Math.abs(Date.parse(time ?? "") - Date.now()) < 60_000);
  });

  it("writes dates as the origin's date did", () => {
    assert.equal(formatDate(new Date("2019-05-04T17:44:27Z")), "Sat May  4 17:44:27 UTC 2019");
    assert.equal(formatDate(new Date("2026-11-23T05:06:07Z")), "Mon Nov 23 05:06:07 UTC 2026");
  });

  it("tells an error with its causes", () => {
    assert.equal(reasonOf(new Error("outer", { cause: new Error("inner") })), "outer: inner");
    assert.equal(reasonOf("text"), "text");
  });
});

describe("health", () => {
  it("is not ready until told, and alive until the loop misses its beat", () => {
    let now = 1_000;
    const health = new Health(() => now);
    assert.deepEqual(health.answer("/readyz"), [503, "the first refresh is not complete"]);
    assert.equal(health.answer("/healthz")[0], 200);
    health.ready();
    health.beat(2_000);
    assert.equal(health.answer("/readyz")[0], 200);
    assert.equal(health.answer("/healthz")[0], 200);
    now = 2_001;
    assert.deepEqual(health.answer("/healthz"), [503, "the reconcile loop is stuck"]);
    health.beat(3_000);
    assert.equal(health.answer("/healthz")[0], 200);
    assert.equal(health.answer("/secrets")[0], 404);
  });
});
