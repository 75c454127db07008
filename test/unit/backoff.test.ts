import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  distrustedRefresh,
  shouldLog,
  maximumRefresh,
  maximumRetry,
  minimumRefresh,
  refreshDelay,
  requestLimit,
  retryDelay,
  retryLimit,
  serverRetryLimit,
} from "../../helper/runtime/backoff.ts";

const hour = 3_600_000;
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("the next refresh", () => {
  for (const [remaining, random, expected] of [
    [12 * hour, 0, 6 * hour],
    [12 * hour, 0.5, 5.7 * hour],
    [hour, 0, hour / 2],
    [30_000, 0, 15_000],
    [4_000, 0, minimumRefresh],
    [365 * 24 * hour, 0, maximumRefresh],
    [0, 0, distrustedRefresh],
    [-11 * 365 * 24 * hour, 0, distrustedRefresh],
    [Number.NaN, 0, distrustedRefresh],
  ] as const) {
    it(`comes ${String(expected / 1000)} s after a token with ${String(remaining / 1000)} s to live`, () => {
      assert.equal(refreshDelay(remaining, random), expected);
    });
  }

  it("never comes before its minimum, nor after the end of a token that outlives the minimum", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), chance, (remaining, random) => {
        const delay = refreshDelay(remaining, random);
        assert.ok(delay >= minimumRefresh && delay <= maximumRefresh);
        if (remaining > minimumRefresh) assert.ok(delay < remaining, `${String(delay)} of ${String(remaining)}`);
      }),
    );
  });
});

describe("a retry", () => {
  it("doubles its delay up to five minutes", () => {
    const delays = [1, 2, 3, 4, 9, 10, 50, 5000].map((failures) => retryDelay(failures, 0.999999999));
    assert.deepEqual(delays.map(Math.round), [
      1_000,
      2_000,
      4_000,
      8_000,
      256_000,
      maximumRetry,
      maximumRetry,
      maximumRetry,
    ]);
  });

  it("is never at once and never later than the maximum", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), chance, (failures, random) => {
        const delay = retryDelay(failures, random);
        assert.ok(delay >= 500 && delay <= maximumRetry);
      }),
    );
  });
});

describe("a retry for a token whose predecessor still lives", () => {
  for (const [remaining, wait, limit] of [
    [6 * hour, maximumRetry, 20_000],
    [8 * 60_000, 2 * 60_000, 20_000],
    [15_000, 3_750, 3_750],
    [1_000, 1_000, 2_000],
    [0, 10_000, 20_000],
    [-1, 10_000, 20_000],
    [Number.NaN, 10_000, 20_000],
  ] as const) {
    it(`waits up to ${String(wait / 1000)} s and asks for up to ${String(limit / 1000)} s where ${String(remaining / 1000)} s are left`, () => {
      assert.deepEqual([retryLimit(remaining), requestLimit(remaining)], [wait, limit]);
    });
  }

  it("has time for one more attempt before that token ends, even after one that hung, from four seconds on", () => {
    fc.assert(
      fc.property(fc.double({ min: 4_000, max: 12 * hour, noNaN: true }), (remaining) =>
        assert.ok(retryLimit(remaining) + requestLimit(remaining) < remaining),
      ),
    );
  });
});

describe("a retry of what waits for an API server that is unwell", () => {
  for (const [waiting, limit] of [
    [1, 3_000],
    [150, 3_000],
    [1_000, 20_000],
    [10_000, 60_000],
  ] as const) {
    it(`waits up to ${String(limit / 1000)} s where ${String(waiting)} wait`, () => {
      assert.equal(serverRetryLimit(waiting), limit);
    });
  }

  it("is told more and more seldom", () => {
    const told = Array.from({ length: 100 }, (_, index) => index + 1).filter(shouldLog);
    assert.deepEqual(told, [1, 2, 4, 8, 16, 32, 64]);
  });
});
