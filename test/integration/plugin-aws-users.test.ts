// Users, policies and keys of the AWS stand-in, against the emulator.
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import * as iam from "@aws-sdk/client-iam";
import { awsSession } from "../local/pulumi/aws/session.ts";
import type { LiveResource } from "../local/pulumi/resource-type.ts";
import { isSecret, plainProperties } from "../local/pulumi/values.ts";
import { account } from "../local/settings.ts";
import {
  assertDeleted,
  assertNoChanges,
  changes,
  checked,
  create,
  firstOf,
  lifecycle,
  created,
  name,
  policyDocument,
  refresh,
  removeCreated,
  session,
  text,
  typeOf,
  update,
} from "./plugin-resources.ts";

after(removeCreated);

async function oldVersion(PolicyArn: string): Promise<string | undefined> {
  const { Versions = [] } = await session.iam.send(new iam.ListPolicyVersionsCommand({ PolicyArn }));
  return Versions.find((version) => version.IsDefaultVersion !== true)?.VersionId;
}

describe("users, policies and keys of the AWS stand-in", () => {
  const [policyToken, userToken] = ["aws:iam/policy:Policy", "aws:iam/user:User"] as const;
  const keyToken = "aws:iam/accessKey:AccessKey";
  const attachmentToken = "aws:iam/userPolicyAttachment:UserPolicyAttachment";
  const policyInputs = { name, description: "d", policy: policyDocument("ecr:GetAuthorizationToken") };
  let policy: LiveResource;
  let user: LiveResource;

  it("create a policy, and update it by new versions, of which AWS keeps five", async () => {
    policy = await lifecycle(policyToken, { ...policyInputs, tags: { a: "1" } });
    assert.equal(policy.id, `arn:aws:iam::${account}:policy/${name}`);
    assert.equal(policy.outputs["attachmentCount"], 0);
    for (let version = 1; version <= 6; version++) {
      const document = policyDocument(`ecr:Action${String(version)}`);
      policy = await update(policyToken, policy, { ...policyInputs, policy: document, tags: { a: String(version) } });
    }
    const versions = await session.iam.send(new iam.ListPolicyVersionsCommand({ PolicyArn: policy.id }));
    assert.equal(versions.Versions?.length, 5);
    policy = await update(policyToken, policy, policyInputs);
  });

  it("show another client's change of a policy, and correct it", async () => {
    await session.iam.send(
      new iam.DeletePolicyVersionCommand({ PolicyArn: policy.id, VersionId: await oldVersion(policy.id) }),
    );
    const theirs = { PolicyArn: policy.id, PolicyDocument: policyDocument("iam:*"), SetAsDefault: true };
    await session.iam.send(new iam.CreatePolicyVersionCommand(theirs));
    const refreshed = (await refresh(policyToken, policy)) ?? assert.fail();
    assert.match(text(refreshed, "policy"), /iam:\*/);
    const wanted = await checked(policyToken, policyInputs, refreshed.inputs);
    assert.deepEqual(changes(policyToken, refreshed, wanted), { policy: "UPDATE" });
    policy = await update(policyToken, refreshed, policyInputs);
  });

  it("create a user, and update its tags and its boundary", async () => {
    user = await lifecycle(userToken, { name, path: "/plugins/", tags: { a: "1" } });
    assert.equal(user.outputs["arn"], `arn:aws:iam::${account}:user/plugins/${name}`);
    assert.match(text(user, "uniqueId"), /^AIDA/);
    const next = { name, path: "/plugins/", permissionsBoundary: policy.id, tags: { a: "2", b: "3" } };
    user = await update(userToken, user, next);
    assert.equal(user.outputs["permissionsBoundary"], policy.id);
    user = await update(userToken, user, { name, path: "/plugins/" });
    assert.deepEqual([user.outputs["permissionsBoundary"], user.outputs["tagsAll"]], [undefined, {}]);
  });

  it("refuse a user that exists, with the error code of AWS, the call and the name", async () => {
    await assert.rejects(typeOf(userToken).create({ name }, session), {
      message: new RegExp(
        `^creating IAM User \\(${name}\\): operation error IAM: CreateUser, https response error StatusCode: 409, ` +
          "RequestID: .*, EntityAlreadyExists: ",
      ),
    });
  });

  it("attach a policy, and show when other clients detach it", async () => {
    const inputs = { user: name, policyArn: policy.id };
    const live = await lifecycle(attachmentToken, inputs, () => `${name}/${policy.id}`);
    assert.equal(live.id, `${name}-${policy.id}`);
    assert.equal((await refresh(policyToken, policy))?.outputs["attachmentCount"], 1);
    await session.iam.send(new iam.DetachUserPolicyCommand({ UserName: name, PolicyArn: policy.id }));
    assert.equal(await refresh(attachmentToken, live), undefined);
    await assertDeleted(attachmentToken, live);
    await assert.rejects(typeOf(attachmentToken).read("no-slash", session), /expected <user-name>\/<policy_arn>/);
  });

  it("create a key, whose secret AWS returns once, and keep it marked as secret", async () => {
    const key = await create(keyToken, { user: name });
    assert.match(key.id, /^AKIA/);
    assert.ok(isSecret(key.outputs["secret"]) && isSecret(key.outputs["sesSmtpPasswordV4"]));
    assert.deepEqual(await refresh(keyToken, key), key);
    const own = awsSession({ accessKey: key.id, secretKey: plainProperties(key.outputs)["secret"] });
    assert.equal((await own.identity()).arn, `arn:aws:iam::${account}:user/plugins/${name}`);
    const imported = (await typeOf(keyToken).read(key.id, session)) ?? assert.fail();
    assert.deepEqual([imported.outputs["user"], imported.outputs["secret"]], [name, undefined]);
    assertNoChanges(keyToken, imported, await checked(keyToken, { user: name }));
  });

  it("deactivate a key, and activate one that another client deactivated", async () => {
    const key = firstOf(keyToken);
    const inactive = await update(keyToken, key, { user: name, status: "Inactive" });
    assert.deepEqual(inactive.outputs["secret"], key.outputs["secret"]);
    const wanted = await checked(keyToken, { user: name }, key.inputs);
    const refreshed = (await refresh(keyToken, key)) ?? assert.fail();
    assert.deepEqual(changes(keyToken, refreshed, wanted), { status: "UPDATE" });
    await update(keyToken, refreshed, { user: name });
  });

  it("refuse a third key, and delete a user that has keys only if forceDestroy is set", async () => {
    await create(keyToken, { user: name });
    await assert.rejects(
      typeOf(keyToken).create({ user: name }, session),
      /^Error: creating IAM Access Key \(.*\): .*LimitExceeded/,
    );
    await assert.rejects(typeOf(userToken).delete(name, user.outputs, session), /DeleteConflict/);
    await typeOf(userToken).delete(name, { ...user.outputs, forceDestroy: true }, session);
    assert.equal(await refresh(userToken, user), undefined);
    for (const [token, key] of created.filter(([one]) => one === keyToken)) await assertDeleted(token, key);
    await assertDeleted(userToken, user);
    await assertDeleted(policyToken, policy);
  });

  it("create no key for a user that does not exist", async () => {
    await assert.rejects(
      typeOf(keyToken).create({ user: `${name}-nobody` }, session),
      /operation error IAM: CreateAccessKey, .*NoSuchEntity: /,
    );
  });
});
