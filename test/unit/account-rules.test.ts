import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createAccountMatcher, includesUnnamed, namedAccounts } from "../../helper/shared/account-rules.ts";
import { accountPattern, objectName } from "../../helper/shared/names.ts";
import { mayMeanAccount } from "../support/acceptable.ts";

const rules = (
  serviceAccounts: string[],
  serviceAccountSelector = "",
): { serviceAccounts: string[]; serviceAccountSelector: string } => ({ serviceAccounts, serviceAccountSelector });

describe("the rules for service accounts", () => {
  it("include those that they name, those that a pattern matches, and those that the selector selects", () => {
    const isIncluded = createAccountMatcher(rules(["builder-sa", "ci-*", "?.x"], "pulls=yes"));
    for (const name of ["builder-sa", "ci-", "ci-a.b", "a.x"]) assert.ok(isIncluded(name), name);
    for (const name of ["builder-sa2", "xci-a", "ab.x", "default"]) {
      assert.equal(isIncluded(name), false, name);
      assert.equal(isIncluded(name, { pulls: "no" }), false, name);
      assert.ok(isIncluded(name, { pulls: "yes" }), name);
    }
  });

  it("include none by an empty selector", () => {
    assert.equal(createAccountMatcher(rules(["a"]))("b", { any: "label" }), false);
  });

  it("have to know all service accounts only with a pattern or a selector, and name those that have no wildcard", () => {
    for (const [given, isUnnamed, names] of [
      [rules(["a", "default"]), false, ["a", "default"]],
      [rules(["a", "c*"]), true, ["a"]],
      [rules(["a"], "x"), true, ["a"]],
      [rules([], "x"), true, []],
    ] as const) {
      assert.deepEqual([includesUnnamed(given), namedAccounts(given)], [isUnnamed, names]);
    }
  });

  it("have only patterns that can match a name, and every name", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "0", "-", ".", "*", "?", "A"), maxLength: 8 });
    fc.assert(
      fc.property(text, (pattern) => {
        assert.equal(accountPattern.test(pattern), mayMeanAccount(pattern), pattern);
        if (!/[*?]/.test(pattern)) assert.equal(accountPattern.test(pattern), objectName.test(pattern), pattern);
      }),
      { numRuns: 5_000 },
    );
  });
});
