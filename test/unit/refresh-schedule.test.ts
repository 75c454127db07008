import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { maximumRetry } from "../../helper/runtime/backoff.ts";
import {
  implausibleExpiryRefresh,
  maximumRefresh,
  maximumRetryDelay,
  minimumRefresh,
  refreshDelay,
  requestTimeout,
} from "../../helper/ecr/refresh-schedule.ts";

const hour = 3_600_000;
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("the refresh of a token", () => {
  for (const [remaining, random, expected] of [
    [12 * hour, 0, 6 * hour],
    [12 * hour, 0.5, 5.7 * hour],
    [hour, 0, hour / 2],
    [30_000, 0, 15_000],
    [4_000, 0, minimumRefresh],
    [365 * 24 * hour, 0, maximumRefresh],
    [0, 0, implausibleExpiryRefresh],
    [-11 * 365 * 24 * hour, 0, implausibleExpiryRefresh],
    [Number.NaN, 0, implausibleExpiryRefresh],
  ] as const) {
    it(`comes ${String(expected / 1000)} s after a token that expires in ${String(remaining / 1000)} s`, () => {
      assert.equal(refreshDelay(remaining, random), expected);
    });
  }

  it("never comes before the minimum, nor after the expiry of a token that outlives the minimum", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), chance, (remaining, random) => {
        const delay = refreshDelay(remaining, random);
        assert.ok(delay >= minimumRefresh && delay <= maximumRefresh);
        if (remaining > minimumRefresh) assert.ok(delay < remaining, `${String(delay)} of ${String(remaining)}`);
      }),
    );
  });
});

describe("a retry for the successor of a token", () => {
  for (const [remaining, wait, timeout] of [
    [6 * hour, maximumRetry, 20_000],
    [8 * 60_000, 2 * 60_000, 20_000],
    [15_000, 3_750, 3_750],
    [1_000, 1_000, 2_000],
    [0, 10_000, 20_000],
    [-1, 10_000, 20_000],
    [Number.NaN, 10_000, 20_000],
  ] as const) {
    it(`waits up to ${String(wait / 1000)} s and takes up to ${String(timeout / 1000)} s when the token expires in ${String(remaining / 1000)} s`, () => {
      assert.deepEqual([maximumRetryDelay(remaining), requestTimeout(remaining)], [wait, timeout]);
    });
  }

  it("leaves time for one more attempt before the token expires, even after one that hangs, if four seconds remain", () => {
    fc.assert(
      fc.property(fc.double({ min: 4_000, max: 12 * hour, noNaN: true }), (remaining) =>
        assert.ok(maximumRetryDelay(remaining) + requestTimeout(remaining) < remaining),
      ),
    );
  });
});
