import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { AuthorizationToken, Tokens } from "../../helper/ecr/token.ts";
import { runTokenRefresher } from "../../helper/ecr/token-refresher.ts";
import { minimumRefresh } from "../../helper/ecr/refresh-schedule.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const hour = 3_600_000;

interface Behaviour {
  readonly token?: (region: string, now: number, count: number) => Partial<AuthorizationToken> | undefined;
  /** How long ECR takes to answer, in milliseconds. */
  readonly delay?: (region: string) => number;
  readonly regions?: string[];
  readonly restored?: (now: number) => Tokens;
  readonly random?: () => number;
}

/** Runs the refresher for so many hours of a virtual clock. */
async function simulate(hours: number, behaviour: Behaviour) {
  const clock = new VirtualClock("2026-11-23T00:00:00Z");
  const start = clock.now();
  const stop = new AbortController();
  const lines: string[] = [];
  const requests: { at: number; region: string }[] = [];
  const published: { at: number; passwords: Record<string, string> }[] = [];
  const results: string[] = [];
  /** How many requests there were at each call of `failing`, and the text for the Event. */
  const failing: { at: number; reason: string }[] = [];
  const running = runTokenRefresher(
    behaviour.regions ?? ["r"],
    behaviour.restored?.(start) ?? new Map(),
    {
      tokenSource: async (region, signal) => {
        const issuedAt = clock.now();
        requests.push({ at: issuedAt - start, region });
        const changes = behaviour.token?.(region, issuedAt, requests.length) ?? {};
        await clock.sleep(behaviour.delay?.(region) ?? 0, signal);
        return {
          username: "AWS",
          password: String(requests.length),
          issuedAt,
          expiresAt: issuedAt + 12 * hour,
          ...changes,
        };
      },
      log: (level, message) => void lines.push(`${level} ${message}`),
      clock,
      random: behaviour.random ?? (() => 0),
      refreshed: (tokens) =>
        void published.push({
          at: clock.now() - start,
          passwords: Object.fromEntries([...tokens].map(([region, { password }]) => [region, password])),
        }),
      requested: (_region, result) => void results.push(result),
      failing: (_region, reason) => void failing.push({ at: requests.length, reason }),
      accessDeniedHint: (region) => `check the policy of ${region}`,
    },
    stop.signal,
  );
  await clock.advance(hours * hour);
  stop.abort();
  await clock.advance(0);
  await running;
  return { lines, requests, published, results, failing };
}

const failAs = (name: string): never => {
  throw Object.assign(new Error("refused\nwith the request's own headers"), { name });
};
const refuse = (): never => failAs("Error");
/** The names of errors by ECR, STS and the SDK that may come from permissions that IAM still propagates. */
const denials = [
  "AccessDeniedException",
  "UnrecognizedClientException",
  "InvalidClientTokenId",
  "AccessDenied",
  "CredentialsProviderError",
];
const minute = hour / 60;

describe("the tokens", () => {
  it("are requested once per region, at half of their life", async () => {
    const { requests, published } = await simulate(24, {});
    assert.deepEqual(
      requests.map(({ at }) => at / hour),
      [0, 6, 12, 18, 24],
    );
    assert.equal(published.length, 5);
  });

  it("of several regions are requested and published together, in spite of the random part of their delays", async () => {
    let chance = 0;
    const random = (): number => (chance = (chance + 0.3) % 1);
    const { requests, published } = await simulate(24, { regions: ["r", "s", "t"], random });
    assert.equal(requests.length, published.length * 3);
    assert.ok(published.every(({ passwords }) => Object.keys(passwords).length === 3));
  });

  it("of a region that hangs delay those of the others by half a second only", async () => {
    const { published } = await simulate(0.01, {
      regions: ["r", "s"],
      delay: (region) => (region === "s" ? 15_000 : 40),
    });
    assert.deepEqual(
      published.map(({ at, passwords }) => [at, Object.keys(passwords)]),
      [
        [540, ["r"]],
        [15_000, ["r", "s"]],
      ],
    );
  });

  it("stay in place when ECR fails, with retries that back off exponentially", async () => {
    const { requests, published, lines, results } = await simulate(7, {
      token: (_region, _now, count) => (count > 1 ? refuse() : undefined),
    });
    assert.equal(published.length, 1, "nothing is published without a new token");
    const waits = requests.slice(2).map(({ at }, index) => at - (requests[index + 1]?.at ?? 0));
    assert.deepEqual(waits.slice(0, 4), [500, 1_000, 2_000, 4_000]);
    assert.ok(Math.max(...waits) <= 300_000);
    assert.deepEqual(results.slice(0, 3), ["success", "failure", "failure"]);
    assert.equal(
      lines.at(-1),
      "error no authorization token for r: refused; the last good token stays in place; trying again in 150.0 s",
    );
  });

  it("of a region that fails do not keep those of the others from being published", async () => {
    const { published } = await simulate(13, {
      regions: ["r", "s"],
      token: (region) => (region === "s" ? refuse() : undefined),
    });
    assert.deepEqual(
      published.map(({ passwords }) => Object.keys(passwords)),
      [["r"], ["r"], ["r"]],
    );
  });

  it("that arrive expired do not cause a hot loop", async () => {
    const { requests } = await simulate(1, { token: (_, now) => ({ expiresAt: now - hour }) });
    assert.equal(requests.length, 61);
  });

  const restored =
    (age: number, issuedAt?: number) =>
    (now: number): Tokens => {
      const issued = now - age;
      const token = { username: "AWS", password: "old", issuedAt: issuedAt ?? issued, expiresAt: issued + 12 * hour };
      return new Map([["r", token]]);
    };

  it("are retried until shortly before they expire, and twice a minute after, whether requests fail or hang", async () => {
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

  it("are retried after the time that ECR asks for, but after five minutes at most", async () => {
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

  it("that were restored are used until their own half-life: a restart requests nothing", async () => {
    const { requests, published } = await simulate(5, { restored: restored(2 * hour) });
    assert.deepEqual(published[0], { at: 0, passwords: { r: "old" } });
    assert.deepEqual(requests, [{ at: 4 * hour, region: "r" }]);
  });

  it("that were restored after their half-life are published only if no new one arrives at once", async () => {
    const prompt = await simulate(1, { restored: restored(7 * hour), delay: () => 100 });
    assert.deepEqual(
      prompt.published.map(({ at, passwords }) => [at, passwords["r"]]),
      [[100, "1"]],
    );
    const late = await simulate(1, { restored: restored(7 * hour), delay: () => 5_000 });
    assert.deepEqual(
      late.published.map(({ at, passwords }) => [at, passwords["r"]]),
      [
        [500, "old"],
        [5_000, "1"],
      ],
    );
  });

  it("of another identity are replaced at once, and stay in place while that fails", async () => {
    const { requests, published } = await simulate(0.001, { restored: restored(hour, 0), token: refuse });
    assert.equal(requests[0]?.at, 0);
    assert.deepEqual(published, [{ at: 0, passwords: { r: "old" } }]);
  });

  it("that claim to be issued in the future are replaced at once", async () => {
    const { requests } = await simulate(0.001, { restored: restored(-hour / 6) });
    assert.deepEqual(requests, [{ at: 0, region: "r" }]);
  });

  it("are never requested before the minimum, nor after their expiry, whatever life they have", async () => {
    const lives = fc.integer({ min: minimumRefresh + 1_000, max: 24 * hour });
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    await fc.assert(
      fc.asyncProperty(lives, chance, fc.integer({ min: 0, max: 11 }), async (life, random, age) => {
        const { requests } = await simulate(Math.min(30, (10 * life) / hour), {
          token: (_, now) => ({ expiresAt: now + life }),
          random: () => random,
          restored: restored(age * hour),
        });
        const own = requests.slice(1).map(({ at }, index) => at - (requests[index]?.at ?? 0));
        for (const wait of own) assert.ok(wait >= minimumRefresh && wait < life, String(wait));
        assert.ok((requests[0]?.at ?? 0) <= (12 - age) * hour);
      }),
      { numRuns: 50 },
    );
  });
});

describe("a denial", () => {
  for (const name of denials) {
    it(`as ${name} is not logged as an error while IAM may still propagate permissions, and then says what to check`, async () => {
      for (const chance of [0, 0.999]) {
        const { requests, lines, failing, published } = await simulate(1, {
          token: () => failAs(name),
          random: () => chance,
        });
        const early = requests.filter(({ at }) => at < 2 * minute);
        assert.ok(early.length >= 12);
        for (const [index, { at }] of early.entries())
          assert.ok(at - (early[index - 1]?.at ?? 0) <= 10_000, `retried at ${String(at)}`);
        const first = "info no authorization token for r yet: refused; new permissions take AWS up to two";
        for (const line of lines.slice(0, early.length)) assert.ok(line.startsWith(first), line);
        const then = "error no authorization token for r: refused; check the policy of r; trying again in ";
        assert.ok(lines.length > early.length);
        for (const line of lines.slice(early.length)) assert.ok(line.startsWith(then), line);
        const reason = "no authorization token for r: refused; check the policy of r";
        assert.deepEqual(failing, [{ at: early.length + 5, reason }], "at the fifth error");
        assert.deepEqual(published, []);
      }
    });

    it(`as ${name} of a helper that has had a token is logged as an error at once`, async () => {
      const { lines } = await simulate(6.01, {
        token: (_region, _now, count) => (count > 1 ? failAs(name) : undefined),
      });
      const text =
        "error no authorization token for r: refused; check the policy of r; the last good token stays in place; ";
      assert.ok(lines[0]?.startsWith(text), lines[0]);
    });
  }

  it("that ends in time is never logged as an error", async () => {
    const { lines, published } = await simulate(1, {
      token: (_region, _now, count) => (count < 10 ? failAs("AccessDeniedException") : undefined),
    });
    assert.equal(lines.length, 9);
    assert.ok(lines.every((line) => line.startsWith("info ")));
    assert.equal(published.length, 1);
  });
});

describe("another failure", () => {
  it("is logged as an error at once, without a hint about permissions", async () => {
    const { lines } = await simulate(0.001, { token: () => failAs("TimeoutError") });
    assert.deepEqual(lines.slice(0, 1), ["error no authorization token for r: refused; trying again in 0.5 s"]);
  });

  it("reports a region as failing at the fifth in a row, and once until a request succeeds", async () => {
    const works = [3, 12];
    const { failing } = await simulate(3, {
      token: (_region, now, count) => (works.includes(count) ? { expiresAt: now + minute } : failAs("TimeoutError")),
    });
    assert.equal(failing.map(({ at }) => at).join(), "8,17");
  });
});
