import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseToken } from "../../helper/ecr/token.ts";

const encode = (text: string): string => Buffer.from(text).toString("base64");

describe("an authorization token", () => {
  it("is split at its first colon only", () => {
    const expiresAt = new Date("2026-11-23T12:00:00Z");
    const token = parseToken(encode("AWS:pass:word"), expiresAt);
    assert.deepEqual(token, { username: "AWS", password: "pass:word", expiresAt: expiresAt.getTime() });
  });

  it("may have no expiry", () => {
    assert.ok(Number.isNaN(parseToken(encode("AWS:word"), undefined).expiresAt));
  });

  for (const [what, encoded] of [
    ["missing", undefined],
    ["empty", ""],
    ["without a colon", encode("AWS")],
    ["without a user", encode(":word")],
    ["without a password", encode("AWS:")],
    ["not encoded", "AWS:cGFzc3dvcmQ6"],
    ["a page of HTML", "<html>:</html>"],
    ["not text when decoded", Buffer.from([0xff, 0x3a, 0xff]).toString("base64")],
  ] as const) {
    it(`is rejected when it is ${what}`, () => assert.throws(() => parseToken(encoded, new Date()), /^Error: ECR/));
  }

  it("is decoded to its user and password, whatever these are, and never quoted in an error", () => {
    const word = fc.string({ minLength: 1, unit: "grapheme" });
    fc.assert(
      fc.property(
        word.filter((user) => !user.includes(":")),
        word,
        (username, password) => {
          const token = parseToken(encode(`${username}:${password}`), undefined);
          assert.equal(token.username, username);
          assert.equal(token.password, password);
        },
      ),
    );
    assert.throws(
      () => parseToken(encode("hidden-token"), undefined),
      (error: Error) => !error.message.includes("hidden"),
    );
  });
});
