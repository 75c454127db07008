import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { awsSession } from "../local/pulumi/aws/session.ts";
import { retagging } from "../local/pulumi/aws/tags.ts";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import { isSame, isSecret, secret, unknown, type Properties } from "../local/pulumi/values.ts";

const session = awsSession({ region: "us-east-1", accessKey: "a", secretKey: "b" });

describe("tags", () => {
  it("are updated by setting the changed ones and removing the deleted ones, and no others", () => {
    const keys = fc.oneof(fc.string({ minLength: 1, maxLength: 3 }), fc.constantFrom("constructor", "toString"));
    const tags = fc.dictionary(keys, fc.string({ maxLength: 3 }), { noNullPrototype: true });
    fc.assert(
      fc.property(tags, tags, (before, after) => {
        const { set, removed } = retagging({ state: { tagsAll: before }, inputs: { tags: after } }, session);
        const kept = Object.entries(before).filter(([key]) => !removed.includes(key));
        assert.ok(isSame({ ...Object.fromEntries(kept), ...set }, after));
        assert.ok(Object.entries(set).every(([key, value]) => !Object.hasOwn(before, key) || before[key] !== value));
        assert.ok(removed.every((key) => Object.hasOwn(before, key) && !Object.hasOwn(after, key)));
        const state = { name: "u", path: "/", tags: before, tagsAll: before };
        const { detailed } = awsTypes["aws:iam/user:User"].diff({ state, inputs: { name: "u", tags: after } }, session);
        assert.equal(Object.keys(detailed).length > 0, !isSame(before, after));
      }),
    );
  });
});

describe("previews of the AWS types", () => {
  it("leave outputs of AWS unknown, and mark the secret ones", () => {
    const planned = awsTypes["aws:iam/accessKey:AccessKey"].preview({ user: "u" }, session);
    assert.equal(planned["createDate"], unknown);
    assert.ok(isSecret(planned["secret"]));
    assert.equal(planned["secret"].value, unknown);
    assert.equal(planned["status"], "Active");
  });

  it("keep outputs that an update does not change", () => {
    const type = awsTypes["aws:iam/user:User"];
    const arn = "arn:aws:iam::123456789012:user/u";
    const state = { ...type.preview({ name: "u" }, session), arn, uniqueId: "AIDA" };
    const planned = type.preview({ name: "u", tags: { a: secret("b") } }, session, state);
    assert.deepEqual([planned["arn"], planned["uniqueId"]], [arn, "AIDA"]);
    assert.ok(isSecret((planned["tags"] as Properties)["a"]));
  });
});
