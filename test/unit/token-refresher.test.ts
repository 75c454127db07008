import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { AuthorizationToken, Tokens } from "../../helper/ecr/token.ts";
import { runTokenRefresher } from "../../helper/ecr/token-refresher.ts";
import { minimumRefresh } from "../../helper/runtime/backoff.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

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
  const results: string[] = [];
  /** After how many requests. */
  const failing: number[] = [];
  const kept = runTokenRefresher(
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
      asked: (_region, result) => void results.push(result),
      failing: () => void failing.push(requests.length),
      accessDeniedHint: "check the policy",
    },
    over.signal,
  );
  await clock.advance(hours * hour);
  over.abort();
  await clock.advance(0);
  await kept;
  return { lines, requests, told, results, failing };
}

const failAs = (name: string): never => {
  throw Object.assign(new Error("refused\nwith the request's own headers"), { name });
};
const refuse = (): never => failAs("Error");
/** As ECR, STS and the SDK call what IAM's news would change. */
const refusals = [
  "AccessDeniedException",
  "UnrecognizedClientException",
  "InvalidClientTokenId",
  "AccessDenied",
  "CredentialsProviderError",
];
const minute = hour / 60;

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
    const { requests, told, lines, results } = await simulate(7, {
      token: (_region, _now, count) => (count > 1 ? refuse() : undefined),
    });
    assert.equal(told.length, 1, "nothing is told while nothing is new");
    const waits = requests.slice(2).map(({ at }, index) => at - (requests[index + 1]?.at ?? 0));
    assert.deepEqual(waits.slice(0, 4), [500, 1_000, 2_000, 4_000]);
    assert.ok(Math.max(...waits) <= 300_000);
    assert.deepEqual(results.slice(0, 3), ["success", "failure", "failure"]);
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

  it("are asked for again in time before the last ones end, and twice a minute after, whether that is refused or hangs", async () => {
    for (const fails of [refuse, () => undefined]) {
      const life = 20 * minute;
      let asked = 0;
      const { requests } = await simulate(1, {
        token: (_region, now, count) => (count > 1 ? fails() : { expiresAt: now + life }),
        delay: () => (asked++ > 0 ? hour : 0),
        random: () => 0.999,
      });
      const times = requests.slice(1).map(({ at }) => at);
      for (const [index, at] of times.slice(0, -1).entries()) {
        const wait = (times[index + 1] ?? 0) - at;
        const longest = at + 2_000 < life ? Math.max(1_000, (life - at) / 4) : 10_000;
        assert.ok(wait >= 500 && wait <= 20_000 + longest, `${String(wait)} ms at ${String(at)}`);
      }
      const living = times.filter((at) => at < life);
      assert.ok(life - (living.at(-1) ?? 0) <= 3_000, "up to the end");
      assert.ok(living.length <= 40, `${String(living.length)} requests`);
    }
  });

  it("are left alone for as long as ECR asks for, but not for more than five minutes", async () => {
    for (const [asked, least, most] of [
      [30_000, 30_000, 30_000],
      [hour, 300_000, 300_000],
    ] as const) {
      const { requests } = await simulate(7, {
        token: (_region, _now, count) => {
          if (count === 2) throw Object.assign(new Error("slow down"), { retryAfter: asked });
          return undefined;
        },
      });
      const wait = (requests[2]?.at ?? 0) - (requests[1]?.at ?? 0);
      assert.ok(wait >= least && wait <= most, String(wait));
    }
  });

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

describe("a refusal", () => {
  for (const name of refusals) {
    it(`as ${name} is no alarm while IAM may still spread the news, and then says what to check`, async () => {
      for (const chance of [0, 0.999]) {
        const { requests, lines, failing, told } = await simulate(1, {
          token: () => failAs(name),
          random: () => chance,
        });
        const early = requests.filter(({ at }) => at < 2 * minute);
        assert.ok(early.length >= 12);
        for (const [index, { at }] of early.entries())
          assert.ok(at - (early[index - 1]?.at ?? 0) <= 10_000, `asked again at ${String(at)}`);
        const first = "info no authorization token for r yet: refused; rights that were just given take AWS up to two";
        for (const line of lines.slice(0, early.length)) assert.ok(line.startsWith(first), line);
        const then = "error no authorization token for r: refused; check the policy; trying again in ";
        assert.ok(lines.length > early.length);
        for (const line of lines.slice(early.length)) assert.ok(line.startsWith(then), line);
        assert.deepEqual(failing, [early.length + 5], "at the fifth alarm");
        assert.deepEqual(told, []);
      }
    });

    it(`as ${name} of a helper that worked is an alarm at once`, async () => {
      const { lines } = await simulate(6.01, {
        token: (_region, _now, count) => (count > 1 ? failAs(name) : undefined),
      });
      const text =
        "error no authorization token for r: refused; check the policy; the last good token stays in place; ";
      assert.ok(lines[0]?.startsWith(text), lines[0]);
    });
  }

  it("that passes in time is never an alarm", async () => {
    const { lines, told } = await simulate(1, {
      token: (_region, _now, count) => (count < 10 ? failAs("AccessDeniedException") : undefined),
    });
    assert.equal(lines.length, 9);
    assert.ok(lines.every((line) => line.startsWith("info ")));
    assert.equal(told.length, 1);
  });
});

describe("another failure", () => {
  it("is an alarm at once, and says nothing of rights", async () => {
    const { lines } = await simulate(0.001, { token: () => failAs("TimeoutError") });
    assert.deepEqual(lines.slice(0, 1), ["error no authorization token for r: refused; trying again in 0.5 s"]);
  });

  it("makes known that a region is failing at the fifth in a row: once, until it has worked again", async () => {
    const works = [3, 12];
    const { failing } = await simulate(3, {
      token: (_region, now, count) => (works.includes(count) ? { expiresAt: now + minute } : failAs("TimeoutError")),
    });
    assert.deepEqual(failing, [3 + 5, 12 + 5]);
  });
});
