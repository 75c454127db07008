import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isEquivalentPolicy } from "../local/pulumi/aws/policy-document.ts";

describe("policy documents", () => {
  const statement = (further: object): string =>
    JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "a:B", ...further }] });

  const equivalent: readonly [string, string, string][] = [
    ["one statement and a list of it", '{"Statement":{"Effect":"Allow"}}', '{"Statement":[{"Effect":"Allow"}]}'],
    ["one action and a list of it", statement({ Action: "a:B" }), statement({ Action: ["a:B"] })],
    ["actions in another case", statement({ Action: "a:B" }), statement({ Action: "A:b" })],
    ["everybody in two spellings", statement({ Principal: "*" }), statement({ Principal: { AWS: ["*"] } })],
    [
      "an account and its root",
      statement({ Principal: { AWS: "123456789012" } }),
      statement({ Principal: { AWS: "arn:aws:iam::123456789012:root" } }),
    ],
    [
      "a condition and a list of it",
      statement({ Condition: { Bool: { k: "true" } } }),
      statement({ Condition: { Bool: { k: [true] } } }),
    ],
    ["no version and the first one", '{"Statement":[]}', '{"Version":"2008-10-17","Statement":[]}'],
  ];
  for (const [what, one, other] of equivalent) {
    it(`are equivalent with ${what}`, () => assert.ok(isEquivalentPolicy(one, other)));
  }

  const different: readonly [string, string, string][] = [
    ["effects", statement({}), statement({ Effect: "Deny" })],
    ["resources in another case", statement({ Resource: "x" }), statement({ Resource: "X" })],
    ["actions and what is none", statement({}), statement({ Action: undefined, NotAction: "a:B" })],
    ["conditions", statement({ Condition: { Bool: { k: "true" } } }), statement({})],
    ["what is no JSON", "{", "{"],
  ];
  for (const [what, one, other] of different) {
    it(`are not equivalent with different ${what}`, () => assert.ok(!isEquivalentPolicy(one, other)));
  }

  it("are equivalent in every order of statements, actions and resources", () => {
    const texts = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}:[A-Z][a-z]{1,6}$/), { minLength: 1, maxLength: 5 });
    const statements = fc.array(
      fc.record({ Action: texts, Resource: texts, Effect: fc.constantFrom("Allow", "Deny") }),
      {
        minLength: 1,
        maxLength: 4,
      },
    );
    fc.assert(
      fc.property(statements, fc.func(fc.integer()), (list, order) => {
        const shuffled = (values: readonly unknown[]): unknown[] =>
          [...values].sort((a, b) => order(JSON.stringify(a)) - order(JSON.stringify(b)));
        const reordered = shuffled(
          list.map(({ Action, Resource, Effect }) => ({
            Resource: shuffled(Resource),
            Effect,
            Action: shuffled(Action),
          })),
        );
        const text = (Statement: unknown): string => JSON.stringify({ Statement });
        assert.ok(isEquivalentPolicy(text(list), text(reordered)));
        const [first, ...rest] = list;
        assert.ok(!isEquivalentPolicy(text(list), text([{ ...first, Resource: ["arn:other"] }, ...rest])));
      }),
    );
  });
});
