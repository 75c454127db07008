import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { decode, pullPasswords, type Secret } from "../support/kept-objects.ts";
import { account } from "../local/settings.ts";
import { freePort } from "../support/api-server.ts";
import type { HelperProcess, LogLine } from "../support/helper-process.ts";
import { regionOf } from "../support/counted-gateway.ts";
import {
  answer,
  truncate,
  delay,
  drip,
  garble,
  hang,
  reset,
  resetAfterForward,
  rewrite,
  type Fault,
} from "../support/fault.ts";
import type { InjectedFault } from "../support/proxy.ts";
import { assertNoPasswordLogged, createProxiedHelper, passwordOf, type ProxiedHelper } from "./proxied-helper.ts";

const id = randomBytes(3).toString("hex");
const refused = (status: number, type: string, headers = {}): Fault =>
  answer(status, { __type: type, message: "as the test wants it" }, headers);
interface Answered {
  authorizationData: { authorizationToken: string; expiresAt?: number }[];
}
/** Changes the tokens of an answer. */
const changed = (change: (data: Answered["authorizationData"][0]) => object): Fault =>
  rewrite((body) => ({ authorizationData: (body as Answered).authorizationData.map(change) }));
const encoded = (text: string): string => Buffer.from(text).toString("base64");

interface Case {
  readonly fault: Fault;
  /** What the log lines about it match. */
  readonly logged: RegExp;
  /** The shortest minRetryMs before a retry, in milliseconds. */
  readonly minRetryMs?: number;
}

/** Each case has its own region. */
const cases: Readonly<Record<string, Case>> = {
  "ECR hangs": { fault: hang, logged: /no answer in \d\.\d s/ },
  "the connection is reset": { fault: reset, logged: /ECONNRESET|socket hang up/ },
  "the connection is reset after the work": { fault: resetAfterForward, logged: /ECONNRESET|socket hang up/ },
  "the answer is cut off": { fault: truncate(200), logged: /aborted|ECONNRESET/ },
  "the answer is no HTTP": { fault: garble, logged: /Parse Error/ },
  "the answer drips": { fault: drip(20, 400), logged: /no answer in \d\.\d s/ },
  "400": { fault: refused(400, "InvalidParameterException"), logged: /as the test wants it/ },
  "403": { fault: refused(403, "AccessDeniedException"), logged: /as the test wants it; check that the user / },
  "429": { fault: answer(429), logged: /AWS answered 429/ },
  "429 with Retry-After": {
    fault: answer(429, "", { "retry-after": "4" }),
    logged: /AWS answered 429/,
    minRetryMs: 4_000,
  },
  ThrottlingException: { fault: refused(400, "ThrottlingException"), logged: /as the test wants it/ },
  "ThrottlingException with Retry-After": {
    fault: refused(400, "ThrottlingException", { "retry-after": "4" }),
    logged: /as the test wants it/,
    minRetryMs: 4_000,
  },
  "500": { fault: refused(500, "ServerException"), logged: /as the test wants it/ },
  "503": { fault: answer(503, "busy"), logged: /AWS answered 503/ },
  "HTML instead of JSON": {
    fault: answer(200, "<html>Log in to the network</html>"),
    logged: /AWS answered 200 with something that is not AWS/,
  },
  "an empty list": { fault: answer(200, { authorizationData: [] }), logged: /ECR answered without an/ },
  "no list": { fault: answer(200, {}), logged: /ECR answered without an/ },
  "a token that is not base64": {
    fault: changed((data) => ({ ...data, authorizationToken: decode(data.authorizationToken) })),
    logged: /is not the base64 of USER:PASSWORD/,
  },
  "a token without a colon": {
    fault: changed((data) => ({ ...data, authorizationToken: encoded(randomBytes(256).toString("hex")) })),
    logged: /is not the base64 of USER:PASSWORD/,
  },
  "an expiry that is no date": {
    fault: changed((data) => ({ ...data, expiresAt: "soon" })),
    logged: /AWS answered 200/,
  },
};

const own = "us-east-1";
const slow = "us-west-1";
const regionsOfCases = Object.keys(cases).map((_, index) => `eu-test-${String(index + 1)}`);
const hostOf = (region: string): string => `${account}.dkr.ecr.${region}.amazonaws.com`;
const nameIn = (region: string): string => (region === own ? "ecr-creds" : `ecr-creds-${region}`);

describe("ECR, when a refresh is due and it fails in every region but two", () => {
  const namespace = `ecr-${id}`;
  let proxied: ProxiedHelper;
  let helper: HelperProcess;
  let port = 0;
  let liftedAt = 0;
  let from = 0;
  const oldLogins = new Map<string, string>();
  const kept = new Map<string, string>();
  const injectedFaults = new Map<string, InjectedFault>();
  const newLogins = new Map<string, Promise<{ password: string; at: number }>>();
  let during: LogLine[] = [];

  const renewed = async (region: string): Promise<{ password: string; at: number }> => {
    const password = await proxied.waitForNewLogin(namespace, oldLogins.get(region) ?? "", nameIn(region));
    return { password, at: Date.now() };
  };
  const linesOf = (region: string): LogLine[] => during.filter((line) => line["region"] === region);
  const ask = async (path: string): Promise<number> => (await fetch(`http://127.0.0.1:${String(port)}${path}`)).status;

  before(async () => {
    const config = { registries: JSON.stringify([...regionsOfCases, slow].map(hostOf)) };
    proxied = await createProxiedHelper([namespace], 24_000, { config });
    port = await freePort();
    helper = proxied.run({ ECR_HELPER_PORT: String(port) });
    await helper.line(/the secret will expire/);
    for (const region of [own, slow, ...regionsOfCases])
      oldLogins.set(region, await proxied.login(namespace, nameIn(region)));
    from = helper.lines.length;
    for (const [index, { fault }] of Object.values(cases).entries()) {
      const region = regionsOfCases[index] ?? "";
      injectedFaults.set(
        region,
        proxied.aws.inject((request) => regionOf(request) === region, fault),
      );
    }
    proxied.aws.inject((request) => regionOf(request) === slow, delay(1_500));
    for (const region of [own, slow]) newLogins.set(region, renewed(region));
    // Until every fault has occurred twice; once where the helper waits for Retry-After.
    await Promise.all(
      Object.values(cases).map(async ({ minRetryMs }, index) =>
        injectedFaults.get(regionsOfCases[index] ?? "")?.reached(minRetryMs === undefined ? 2 : 1),
      ),
    );
    for (const region of regionsOfCases) {
      await helper.line(new RegExp(`no authorization token for ${region}: `), from);
      kept.set(region, await proxied.login(namespace, nameIn(region)));
    }
  });

  after(async () => proxied.close());

  it("delays neither the healthy region nor the slow one, and the helper stays alive and ready", async (t) => {
    const since = Date.now();
    for (const region of [own, slow]) await newLogins.get(region);
    assert.deepEqual([await ask("/healthz"), await ask("/readyz")], [200, 200]);
    t.diagnostic(
      `outcome: ECR is slow (1.5 s) | refreshed all the same | recovered after ${String(Date.now() - since)} ms`,
    );
  });

  it("leaves the last login in place, which the registry accepts", async () => {
    const pulls = pullPasswords(await proxied.parts.secret(namespace, "ecr-creds-pull"));
    for (const region of regionsOfCases) {
      assert.equal(kept.get(region), oldLogins.get(region));
      assert.equal(pulls[hostOf(region)], oldLogins.get(region), "in the login for pulls, too");
      assert.ok(await proxied.isAccepted(oldLogins.get(region) ?? ""));
    }
    during = helper.lines.slice(from);
    for (const injected of injectedFaults.values()) injected.lift();
    liftedAt = Date.now();
    for (const region of regionsOfCases) newLogins.set(region, renewed(region));
  });

  for (const [index, [what, { logged, minRetryMs = 0 }]] of Object.entries(cases).entries()) {
    const region = `eu-test-${String(index + 1)}`;
    it(`is logged once per attempt, retried with pauses, and recovers soon: ${what}`, async (t) => {
      const { hits = [] } = injectedFaults.get(region) ?? {};
      const errors = linesOf(region).filter(({ level }) => level === "error");
      assert.ok(
        errors.length >= 1 && errors.length <= hits.length,
        `${String(errors.length)} of ${String(hits.length)}`,
      );
      for (const { message } of errors) {
        assert.match(message, new RegExp(`^no authorization token for ${region}: .*(${logged.source})`));
        assert.match(message, /the last good token stays in place; trying again in \d+\.\d s$/);
        assert.ok(!message.includes("\n") && !message.includes(": ;"), message);
      }
      const gaps = hits.slice(1).map((at, next) => at - (hits[next] ?? 0));
      assert.ok(
        gaps.every((gap) => gap >= Math.max(450, minRetryMs - 50)),
        `asked again after ${gaps.join(", ")} ms`,
      );
      assert.ok(hits.length <= 8, `${String(hits.length)} requests`);
      const { at } = (await newLogins.get(region)) ?? { at: Number.NaN };
      const held = `the last login stayed and was taken, ${String(hits.length)} requests`;
      t.diagnostic(`outcome: ECR: ${what} | ${held} | recovered after ${String(at - liftedAt)} ms`);
    });
  }

  it("never logs a token or the access key", async () => {
    const all = await Promise.all([...newLogins.values()]);
    assertNoPasswordLogged(helper.lines, [...oldLogins.values(), ...all.map(({ password }) => password)]);
    assertNoPasswordLogged(helper.lines, [String(proxied.parts.env["AWS_SECRET_ACCESS_KEY"])]);
  });
});

describe("a token with an implausible expiry", () => {
  const namespace = `expiry-${id}`;
  const year = 365 * 24 * 3_600;
  const expiries: Readonly<Record<string, (data: Answered["authorizationData"][0]) => object>> = {
    "in the past": (data) => ({ ...data, expiresAt: Date.now() / 1000 - year }),
    "in a year": (data) => ({ ...data, expiresAt: Date.now() / 1000 + year }),
    missing: ({ authorizationToken }) => ({ authorizationToken }),
  };
  let proxied: ProxiedHelper;

  before(async () => {
    const registries = Object.keys(expiries).map((_, index) => hostOf(`eu-test-${String(index + 1)}`));
    proxied = await createProxiedHelper([namespace], 600_000, { config: { registries: JSON.stringify(registries) } });
  });
  after(async () => proxied.close());

  it("is used, because it may be valid, and is requested only once, even over a restart", async (t) => {
    const injectedFaults = Object.values(expiries).map((expiry, index) =>
      proxied.aws.inject((request) => regionOf(request) === `eu-test-${String(index + 1)}`, changed(expiry)),
    );
    for (const run of ["first", "second"]) {
      const helper = proxied.run();
      await helper.line(/the secret will expire/);
      await helper.stop();
      for (const [index, what] of Object.keys(expiries).entries()) {
        const secret: Secret = await proxied.parts.secret(namespace, `ecr-creds-eu-test-${String(index + 1)}`);
        assert.ok(await proxied.isAccepted(passwordOf(secret)), `${what} in the ${run} run`);
        assert.equal(injectedFaults[index]?.hits.length, 1, `${what} in the ${run} run`);
        assertNoPasswordLogged(helper.lines, [passwordOf(secret)]);
        if (run === "second")
          t.diagnostic(
            `outcome: ECR: an expiry ${what} | the token is used, 1 request in two runs | recovered after 0 ms`,
          );
      }
    }
  });
});
