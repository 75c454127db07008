import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { mistakesOf } from "../support/config-error.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

describe("the service accounts of builds", () => {
  it("are refused if there is none, or one twice, or by the key that earlier versions had", () => {
    for (const [given, mistake] of [
      [{ serviceAccounts: [] }, 'serviceAccounts = "[]": expected at least one name of a service account'],
      [{ serviceAccounts: ["a", "b", "a"] }, 'serviceAccounts = "a": expected each name once'],
      [{ serviceAccounts: ["ci-*"] }, 'serviceAccounts = "ci-*": expected a name of a Kubernetes object'],
      [{ serviceAccount: "a" }, "serviceAccount: there is no such key; set serviceAccounts to a list, such as"],
    ] as const) {
      const [first = "", ...others] = mistakesOf(given);
      assert.ok(first.startsWith(`ecr-helper:${mistake}`), first);
      assert.deepEqual(others, []);
    }
  });
});
