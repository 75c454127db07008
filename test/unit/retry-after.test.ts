import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KubeError } from "../../helper/kube/errors.ts";
import { parseRetryAfter, retryAfterOf } from "../../helper/runtime/retry-after.ts";

const now = Date.parse("2026-11-23T00:00:00Z");

describe("a Retry-After header", () => {
  for (const [header, milliseconds] of [
    [undefined, 0],
    ["", 0],
    ["0", 0],
    ["7", 7_000],
    [" 7 ", 7_000],
    ["Mon, 23 Nov 2026 00:01:00 GMT", 60_000],
    ["Sun, 22 Nov 2026 23:59:00 GMT", 0],
    ["-7", 0],
    ["soon", 0],
  ] as const) {
    it(`asks for ${String(milliseconds / 1000)} s when it is ${JSON.stringify(header)}`, () =>
      assert.equal(parseRetryAfter(header, now), milliseconds));
  }

  it("never asks for a negative or infinite wait, whatever it is", () => {
    fc.assert(
      fc.property(fc.string(), (header) => {
        const wait = parseRetryAfter(header, now);
        assert.ok(wait >= 0 && Number.isFinite(wait));
      }),
    );
  });

  it("is kept in the error", () => {
    const call = { method: "GET", path: "/" } as const;
    assert.equal(retryAfterOf(new KubeError(call, 429, "{}", 3_000)), 3_000);
    assert.equal(retryAfterOf(new KubeError(call, 500, "{}")), 0);
    for (const other of [new Error("reset"), undefined, "text"]) assert.equal(retryAfterOf(other), 0);
  });
});
