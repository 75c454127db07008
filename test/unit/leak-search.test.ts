import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { credentialPatterns, LeakSearch, piecesOf } from "../whole-run/leak-search.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const secret = randomBytes(512).toString("base64");
const search = new LeakSearch([
  [secret, "the password"],
  [base64(`AWS:${secret}`), "the token"],
]);
const labelsIn = (text: string): string[] => [...new Set(search.find(Buffer.from(text)).map((one) => one.label))];

describe("the search for leaks", () => {
  it("finds a secret in plain text, in JSON and in a URL", () => {
    for (const text of [secret, JSON.stringify({ secret }), `http://host/?s=${encodeURIComponent(secret)}`]) {
      assert.deepEqual(labelsIn(`before ${text} after`), ["the password"]);
    }
  });

  it("finds it in base64 and in base64 for URLs, at any offset in the encoded text", () => {
    for (const before of ["", "a", "ab", "abc", "AWS:", '{"password":"']) {
      for (const encoding of ["base64", "base64url"] as const) {
        const text = Buffer.from(`${before}${secret}"}`).toString(encoding);
        assert.ok(labelsIn(`data: ${text}`).length > 0, `${encoding} after ${before}`);
      }
    }
  });

  it("finds it in the `auth` of a docker config in base64", () => {
    const config = JSON.stringify({ auths: { "https://host": { auth: base64(`AWS:${secret}`) } } });
    assert.ok(labelsIn(base64(config)).includes("the token"));
  });

  it("finds any secret of 40 characters, at any offset, and none in text without a secret", () => {
    const texts = fc.string({ maxLength: 30 });
    const secrets = fc.string({
      minLength: 40,
      maxLength: 60,
      unit: fc.constantFrom("a", "b", "c", "7", "8", "9", "+", "/"),
    });
    fc.assert(
      fc.property(secrets, texts, texts, (one, before, after) => {
        const own = new LeakSearch([[one, "it"]]);
        for (const text of [before + one + after, base64(before + one + after)])
          assert.ok(own.find(Buffer.from(text)).length > 0);
        assert.deepEqual(own.find(Buffer.from(before + "x".repeat(one.length) + after)), []);
      }),
    );
  });

  it("returns the offset of a secret", () => {
    const [{ at } = { at: -1 }] = search.find(Buffer.from(`12345${secret}`));
    assert.equal(`12345${secret}`.slice(at, at + 20), piecesOf(secret)[0]);
  });

  it("searches 20 MB for thousands of secrets in seconds", () => {
    const many = Array.from({ length: 5_000 }, () => [randomBytes(30).toString("base64"), "one"] as const);
    const own = new LeakSearch([...many, [secret, "the password"]]);
    const text = Buffer.concat([Buffer.from(randomBytes(15 << 20).toString("base64")), Buffer.from(secret)]);
    const since = performance.now();
    assert.deepEqual(new Set(own.find(text).map((one) => one.label)), new Set(["the password"]));
    assert.ok(performance.now() - since < 20_000);
  });

  it("recognizes a service account's token, a token of aws eks get-token and a private key", () => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const token = `${part({ alg: "ES256", kid: "x" })}.${part({ aud: ["a"], exp: 1, iss: "https://kubernetes" })}.${"s".repeat(86)}`;
    const texts = [token, `k8s-aws-v1.${"a".repeat(60)}`, "-----BEGIN EC PRIVATE KEY-----"];
    assert.deepEqual(
      Object.values(credentialPatterns).map((pattern) => texts.filter((text) => pattern.test(text))),
      texts.map((text) => [text]),
    );
  });
});
