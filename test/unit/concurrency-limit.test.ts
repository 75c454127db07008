import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConcurrencyLimit } from "../../helper/kube/concurrency-limit.ts";

const answered = (limit: ConcurrencyLimit, status: number, times: number): number => {
  for (let time = 0; time < times; time++) limit.answered(status);
  return limit.value;
};

describe("the limit of requests in flight to the API server", () => {
  it("is 32 while requests succeed, and never more", () => {
    assert.equal(answered(new ConcurrencyLimit(), 200, 10_000), 32);
  });

  it("is halved after 429 or 503, but never below one", () => {
    const limit = new ConcurrencyLimit();
    assert.equal(answered(limit, 429, 1), 16);
    assert.equal(answered(limit, 503, 1), 8);
    assert.equal(answered(limit, 429, 100), 1);
  });

  it("grows by one with every round of other responses", () => {
    const limit = new ConcurrencyLimit();
    answered(limit, 429, 1);
    assert.equal(answered(limit, 409, 17), 17);
    assert.equal(answered(limit, 200, 1_000), 32);
  });

  it("does not change without a response", () => {
    const limit = new ConcurrencyLimit();
    answered(limit, 429, 1);
    assert.equal(answered(limit, 0, 1_000), 16);
  });
});
