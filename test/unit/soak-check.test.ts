import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seeded, shuffled } from "../support/seeded.ts";
import { deadlineOf, hasConvergedAfter, checkSample, type Period, type Sample } from "../soak/credential-check.ts";
import { slope, slopesOf } from "../soak/usage.ts";

const sample = (at: number, more: Partial<Sample> = {}): Sample => ({
  at,
  since: new Map([["one", 0]]),
  logins: new Map([
    ["one/ecr-creds", ["good"]],
    ["one/ecr-creds-pull", ["good"]],
  ]),
  accepted: new Set(["good"]),
  ...more,
});
const period = (from: number, more: Partial<Period> = {}): Period => {
  return { what: "a fault", blocksApiServer: true, isDeclared: false, from, ...more };
};
const stale: Partial<Sample> = { accepted: new Set() };

describe("the soak's check of credentials", () => {
  it("passes logins that the registry accepts", () => {
    assert.deepEqual(checkSample(sample(5_000), []), { checked: 2, without: [] });
  });

  it("fails for a secret that is missing, incomplete or refused, and for no other", () => {
    const all = sample(5_000).logins;
    for (const passwords of [undefined, [], ["stale"], ["good", "stale"]]) {
      const logins = new Map([...all, ["one/ecr-creds-pull", passwords ?? []]] as const);
      if (passwords === undefined) logins.delete("one/ecr-creds-pull");
      assert.deepEqual(checkSample(sample(5_000, { logins }), []).without, ["one/ecr-creds-pull"]);
    }
  });

  it("fails for every expired credential", () => {
    assert.deepEqual(checkSample(sample(60_000, stale), []).without, ["one/ecr-creds", "one/ecr-creds-pull"]);
  });

  it("checks a namespace from its fifth second on", () => {
    assert.deepEqual(checkSample(sample(4_999, stale), []), { checked: 0, without: [] });
    assert.equal(checkSample(sample(5_000, stale), []).without.length, 2);
  });

  const ends: readonly [what: string, periods: Period[], due: number][] = [
    ["no fault", [], 15_000],
    ["a fault before it", [period(0, { to: 9_000 })], 15_000],
    ["a fault in which it was created", [period(5_000, { to: 12_000 })], 17_000],
    ["a fault that came in its first seconds", [period(14_000, { to: 20_000 })], 25_000],
    ["a fault that lasts", [period(14_000)], Infinity],
    ["a fault that came later", [period(15_000, { to: 20_000 })], 15_000],
    ["two of them", [period(9_000, { to: 12_000 }), period(16_000, { to: 18_000 })], 23_000],
    ["a fault of ECR", [period(9_000, { to: 12_000, blocksApiServer: false })], 15_000],
  ];
  for (const [what, periods, due] of ends) {
    it(`counts the first five seconds of a namespace correctly with ${what}`, () =>
      assert.equal(deadlineOf(10_000, periods), due));
  }

  it("excuses no older namespace during an undeclared fault", () => {
    assert.equal(checkSample(sample(60_000, stale), [period(55_000)]).without.length, 2);
  });

  it("excuses everything in a declared outage until all credentials are valid again, half a minute at most", () => {
    const outage = (more: Partial<Period>): Period[] => [period(10_000, { isDeclared: true, to: 60_000, ...more })];
    assert.equal(checkSample(sample(59_000, stale), outage({})).without.length, 0);
    assert.equal(checkSample(sample(89_999, stale), outage({})).without.length, 0);
    assert.equal(checkSample(sample(90_000, stale), outage({})).without.length, 2);
    assert.equal(checkSample(sample(70_000, stale), outage({ convergedAt: 65_000 })).without.length, 2);
    assert.equal(checkSample(sample(9_999, stale), outage({})).without.length, 2);
  });

  it("requires the newest login in every namespace after a fault", () => {
    const over = period(10_000, { to: 20_000 });
    assert.ok(hasConvergedAfter(over, sample(21_000), "good"));
    assert.ok(!hasConvergedAfter(over, sample(21_000), "newer"));
    assert.ok(!hasConvergedAfter(over, sample(21_000, stale), "good"));
    const since = new Map([
      ["one", 0],
      ["two", 19_000],
    ]);
    assert.ok(!hasConvergedAfter(over, sample(21_000, { since }), "good"));
    assert.ok(hasConvergedAfter(over, sample(21_000, { since: since.set("two", 20_500) }), "good"));
  });
});

describe("the soak's slopes", () => {
  it("are those of a straight line, and zero for constant values", () => {
    const line = Array.from({ length: 10 }, (_, index) => ({ at: index * 1_000, value: 5 + index }));
    assert.ok(Math.abs(slope(line) - 3_600) < 1e-6);
    assert.equal(slope(line.map(({ at }) => ({ at, value: 7 }))), 0);
  });

  it("do not include a process's first minute", () => {
    const life = Array.from({ length: 180 }, (_, second) => {
      const memory = Math.min(60, second);
      return { at: second * 1_000, memory, handles: 20 + second, sockets: 4 };
    });
    const { minutes, megabytes, handles, sockets } = slopesOf(life);
    assert.deepEqual([minutes, megabytes, Math.round(handles), sockets], [179 / 60, 0, 3_600, 0]);
  });
});

describe("the soak's random numbers", () => {
  it("are the same for the same seed, and different for another", () => {
    const draw = (seed: number): number[] => Array.from({ length: 20 }, seeded(seed));
    assert.deepEqual(draw(7), draw(7));
    assert.notDeepEqual(draw(7), draw(8));
    assert.ok(draw(7).every((one) => one >= 0 && one < 1));
  });

  it("shuffle a list without losing elements", () => {
    const all = Array.from({ length: 30 }, (_, index) => index);
    const mixed = shuffled(all, seeded(1));
    assert.notDeepEqual(mixed, all);
    assert.deepEqual(
      mixed.toSorted((a, b) => a - b),
      all,
    );
  });
});
