import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLog, formatDate } from "../../helper/runtime/logger.ts";
import { errorMessage } from "../../helper/shared/messages.ts";

describe("the log", () => {
  const capture = (...[format, level]: [Parameters<typeof createLog>[0], Parameters<typeof createLog>[1]]) => {
    const lines: string[] = [];
    return { log: createLog(format, level, (line) => lines.push(line)), lines };
  };

  it("has the lines of the origin script as text", () => {
    const { log, lines } = capture("text", "info");
    log("info", "Deployment: ecr-helper-57964b6d97-qmdsv", { pod: "x" });
    log("error", "no");
    log("debug", "unseen");
    assert.deepEqual(lines, ["Deployment: ecr-helper-57964b6d97-qmdsv\n", "error: no\n"]);
  });

  it("has fields as JSON", () => {
    const { log, lines } = capture("json", "debug");
    log("warn", "careful", { namespace: "a" });
    const { time, ...rest } = JSON.parse(lines[0] ?? "") as Record<string, string>;
    assert.deepEqual(rest, { level: "warn", message: "careful", namespace: "a" });
    assert.ok(Math.abs(Date.parse(time ?? "") - Date.now()) < 60_000);
  });

  it("writes dates as the origin script's date did", () => {
    assert.equal(formatDate(new Date("2019-05-04T17:44:27Z")), "Sat May  4 17:44:27 UTC 2019");
    assert.equal(formatDate(new Date("2026-11-23T05:06:07Z")), "Mon Nov 23 05:06:07 UTC 2026");
  });

  it("has the message of an error with its causes", () => {
    assert.equal(errorMessage(new Error("outer", { cause: new Error("inner") })), "outer: inner");
    assert.equal(errorMessage("text"), "text");
  });
});
