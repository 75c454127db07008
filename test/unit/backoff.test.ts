import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { maximumRetry, retryDelay, serverRetryLimit, shouldLog } from "../../helper/runtime/backoff.ts";

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

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

  it("is never immediate and never later than the maximum", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e9 }), chance, (failures, random) => {
        const delay = retryDelay(failures, random);
        assert.ok(delay >= 500 && delay <= maximumRetry);
      }),
    );
  });
});

describe("a retry while the API server is unavailable", () => {
  for (const [waiting, limit] of [
    [1, 3_000],
    [150, 3_000],
    [1_000, 20_000],
    [10_000, 60_000],
  ] as const) {
    it(`waits up to ${String(limit / 1000)} s when ${String(waiting)} objects wait`, () => {
      assert.equal(serverRetryLimit(waiting), limit);
    });
  }

  it("is logged less and less often", () => {
    const logged = Array.from({ length: 100 }, (_, index) => index + 1).filter(shouldLog);
    assert.deepEqual(logged, [1, 2, 4, 8, 16, 32, 64]);
  });
});
