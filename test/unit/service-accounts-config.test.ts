import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { mistakesOf } from "../support/config-error.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

describe("the service accounts of builds", () => {
  it("are names, patterns, and those that a selector includes, of which there is one at least", () => {
    const longest = "a".repeat(253);
    for (const serviceAccounts of [["builder-sa", "default", "ci-*"], ["*"], ["?"], ["a.b-*.c?"], ["*-sa"], [longest]])
      assert.deepEqual(mistakesOf({ serviceAccounts }), []);
    for (const serviceAccountSelector of ["builds=yes", "ci in (a, b),!x"])
      assert.deepEqual(mistakesOf({ serviceAccounts: [], serviceAccountSelector }), []);
  });

  it("are refused if there is none, or one twice, or by the key that earlier versions had", () => {
    const form =
      "expected names of service accounts or patterns of them (lower case, digits, - and ., and * or ? for any)";
    const none = 'serviceAccounts = "[]": expected at least one name or pattern, or a serviceAccountSelector';
    for (const [given, mistake] of [
      [{ serviceAccounts: [] }, none],
      [{ serviceAccounts: ["a", "b", "a"] }, 'serviceAccounts = "a": expected each name or pattern once'],
      [{ serviceAccounts: ["c*", "c*"] }, 'serviceAccounts = "c*": expected each name or pattern once'],
      ...["Ci-*", "-*", "*-", "a..b", "*.-a", "[ab]", "", "a".repeat(254)].map(
        (one) => [{ serviceAccounts: [one] }, `serviceAccounts = "${one}": ${form}`] as const,
      ),
      [
        { serviceAccountSelector: "a in b" },
        'serviceAccountSelector = "a in b": expected a label selector as kubectl has it, but "a in b" is none of KEY,',
      ],
      [{ serviceAccount: "a" }, "serviceAccount: there is no such key; set serviceAccounts to a list, such as"],
    ] as const) {
      const [first = "", ...others] = mistakesOf(given);
      assert.ok(first.startsWith(`ecr-helper:${mistake}`), first);
      assert.deepEqual(others, []);
    }
  });
});
