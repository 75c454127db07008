import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Tokens } from "../../helper/desired.ts";
import { keepTokens } from "../../helper/refresh.ts";
import { minimumRefresh } from "../../helper/schedule.ts";
import type { AuthorizationToken } from "../../helper/token.ts";
import { VirtualClock } from "../virtual-clock.ts";

const hour = 3_600_000;

interface Behaviour {
  readonly token?: (region: string, now: number, count: number) => Partial<AuthorizationToken> | undefined;
  /** How long an answer takes, in milliseconds. */
  readonly delay?: (region: string) => number;
  readonly regions?: string[];
  readonly left?: (now: number) => Tokens;
  readonly random?: () => number;
}

/** Keeps tokens for so many hours of a clock that stands still between them. */
async function simulate(hours: number, behaviour: Behaviour) {
  const clock = new VirtualClock("2026-11-23T00:00:00Z");
  const start = clock.now();
  const over = new AbortController();
  const lines: string[] = [];
  const requests: { at: number; region: string }[] = [];
  const told: { at: number; passwords: Record<string, string> }[] = [];
  const failures: (number | undefined)[] = [];
  const kept = keepTokens(
    behaviour.regions ?? ["r"],
    behaviour.left?.(start) ?? new Map(),
    {
      tokenSource: async (region, signal) => {
        const issuedAt = clock.now();
        requests.push({ at: issuedAt - start, region });
        const given = behaviour.token?.(region, issuedAt, requests.length) ?? {};
        await clock.sleep(behaviour.delay?.(region) ?? 0, signal);
        return {
          username: "AWS",
          password: String(requests.length),
          issuedAt,
          expiresAt: issuedAt + 12 * hour,
          ...given,
        };
      },
      log: (level, message) => void lines.push(`${level} ${message}`),
      clock,
      random: behaviour.random ?? (() => 0),
      refreshed: (tokens) =>
        void told.push({
          at: clock.now() - start,
          passwords: Object.fromEntries([...tokens].map(([region, { password }]) => [region, password])),
        }),
      asked: (_region, _error, count) => void failures.push(count),
    },
    over.signal,
  );
  await clock.advance(hours * hour);
  over.abort();
  await clock.advance(0);
  await kept;
  return { lines, requests, told, failures };
}

const refuse = (): never => {
  throw new Error("refused\nwith the request's own headers");
};

describe("the tokens", () => {
  it("are asked for once per region, at half of their life", async () => {
    const { requests, told } = await simulate(24, {});
    assert.deepEqual(
      requests.map(({ at }) => at / hour),
      [0, 6, 12, 18, 24],
    );
    assert.equal(told.length, 5);
  });

  it("of several regions are asked for and told of together, though chance would part them", async () => {
    let chance = 0;
    const random = (): number => (chance = (chance + 0.3) % 1);
    const { requests, told } = await simulate(24, { regions: ["r", "s", "t"], random });
    assert.equal(requests.length, told.length * 3);
    assert.ok(told.every(({ passwords }) => Object.keys(passwords).length === 3));
  });

  it("of a region that hangs hold up those of the others for half a second, and no longer", async () => {
    const { told } = await simulate(0.01, { regions: ["r", "s"], delay: (region) => (region === "s" ? 15_000 : 40) });
    assert.deepEqual(
      told.map(({ at, passwords }) => [at, Object.keys(passwords)]),
      [
        [540, ["r"]],
        [15_000, ["r", "s"]],
      ],
    );
  });

  it("stay when ECR refuses, and are asked for again sooner and sooner less", async () => {
    const { requests, told, lines, failures } = await simulate(7, {
      token: (_region, _now, count) => (count > 1 ? refuse() : undefined),
    });
    assert.equal(told.length, 1, "nothing is told while nothing is new");
    const waits = requests.slice(2).map(({ at }, index) => at - (requests[index + 1]?.at ?? 0));
    assert.deepEqual(waits.slice(0, 4), [500, 1_000, 2_000, 4_000]);
    assert.ok(Math.max(...waits) <= 300_000);
    assert.deepEqual(failures.slice(0, 3), [undefined, 1, 2]);
    assert.equal(
      lines.at(-1),
      "error no authorization token for r: refused; the last good token stays in place; trying again in 150.0 s",
    );
  });

  it("of one region that is refused do not keep the others from being told", async () => {
    const { told } = await simulate(13, {
      regions: ["r", "s"],
      token: (region) => (region === "s" ? refuse() : undefined),
    });
    assert.deepEqual(
      told.map(({ passwords }) => Object.keys(passwords)),
      [["r"], ["r"], ["r"]],
    );
  });

  it("that have ended on arrival are no reason to run hot", async () => {
    const { requests } = await simulate(1, { token: (_, now) => ({ expiresAt: now - hour }) });
    assert.equal(requests.length, 61);
  });

  const left =
    (age: number, issuedAt?: number) =>
    (now: number): Tokens => {
      const issued = now - age;
      const token = { username: "AWS", password: "left", issuedAt: issuedAt ?? issued, expiresAt: issued + 12 * hour };
      return new Map([["r", token]]);
    };

  it("that an earlier helper left are used until their own half-life: a restart asks for nothing", async () => {
    const { requests, told } = await simulate(5, { left: left(2 * hour) });
    assert.deepEqual(told[0], { at: 0, passwords: { r: "left" } });
    assert.deepEqual(
      requests.map(({ at }) => at / hour),
      [4],
    );
  });

  it("that were left and are past their half-life are told of only if no new one comes at once", async () => {
    const prompt = await simulate(1, { left: left(7 * hour), delay: () => 100 });
    assert.deepEqual(
      prompt.told.map(({ at, passwords }) => [at, passwords["r"]]),
      [[100, "1"]],
    );
    const late = await simulate(1, { left: left(7 * hour), delay: () => 5_000 });
    assert.deepEqual(
      late.told.map(({ at, passwords }) => [at, passwords["r"]]),
      [
        [500, "left"],
        [5_000, "1"],
      ],
    );
  });

  it("that another identity left are replaced at once, and stay while that fails", async () => {
    const { requests, told } = await simulate(0.001, { left: left(hour, 0), token: refuse });
    assert.equal(requests[0]?.at, 0);
    assert.deepEqual(told, [{ at: 0, passwords: { r: "left" } }]);
  });

  it("are never asked for sooner than the minimum, nor after their end, whatever life they have", async () => {
    const lives = fc.integer({ min: minimumRefresh + 1_000, max: 24 * hour });
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    await fc.assert(
      fc.asyncProperty(lives, chance, fc.integer({ min: 0, max: 11 }), async (life, random, age) => {
        const { requests } = await simulate(Math.min(30, (10 * life) / hour), {
          token: (_, now) => ({ expiresAt: now + life }),
          random: () => random,
          left: left(age * hour),
        });
        const own = requests.slice(1).map(({ at }, index) => at - (requests[index]?.at ?? 0));
        for (const wait of own) assert.ok(wait >= minimumRefresh && wait < life, String(wait));
        assert.ok((requests[0]?.at ?? 0) <= (12 - age) * hour);
      }),
      { numRuns: 50 },
    );
  });
});
