// ECR of the AWS stand-in, against the emulator.
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import * as ecr from "@aws-sdk/client-ecr";
import { plainProperties } from "../local/pulumi/values.ts";
import { account } from "../local/settings.ts";
import {
  assertDeleted,
  changes,
  checked,
  firstOf,
  lifecycle,
  name,
  refresh,
  removeCreated,
  session,
  text,
  typeOf,
  update,
} from "./plugin-resources.ts";

after(removeCreated);

describe("repositories of the AWS stand-in", () => {
  const token = "aws:ecr/repository:Repository";
  const inputs = { name, imageScanningConfiguration: { scanOnPush: true }, tags: { team: "x" } };

  it("are created with the program's inputs, and have the outputs of AWS", async () => {
    const { outputs, id } = await lifecycle(token, inputs);
    assert.equal(id, name);
    assert.deepEqual(plainProperties(outputs), {
      arn: `arn:aws:ecr:us-east-1:${account}:repository/${name}`,
      encryptionConfigurations: [{ encryptionType: "AES256", kmsKey: "" }],
      imageScanningConfiguration: { scanOnPush: true },
      imageTagMutability: "MUTABLE",
      name,
      region: "us-east-1",
      registryId: account,
      repositoryUrl: `${account}.dkr.ecr.us-east-1.amazonaws.com/${name}`,
      tags: { team: "x" },
      tagsAll: { team: "x" },
    });
  });

  it("are updated in place", async () => {
    const live = firstOf(token);
    const next = { name, imageScanningConfiguration: { scanOnPush: false }, tags: {}, imageTagMutability: "IMMUTABLE" };
    const updated = await update(token, live, { ...next, forceDelete: true });
    assert.deepEqual(updated.outputs["imageScanningConfiguration"], { scanOnPush: false });
    assert.deepEqual([updated.outputs["forceDelete"], updated.outputs["tagsAll"]], [true, {}]);
    await update(token, updated, inputs);
  });

  it("show changes by other clients, and are corrected", async () => {
    const live = firstOf(token);
    const client = session.ecr();
    await client.send(
      new ecr.PutImageScanningConfigurationCommand({
        repositoryName: name,
        imageScanningConfiguration: { scanOnPush: false },
      }),
    );
    const resourceArn = text(live, "arn");
    await client.send(new ecr.TagResourceCommand({ resourceArn, tags: [{ Key: "theirs", Value: "y" }] }));
    const refreshed = (await refresh(token, live)) ?? assert.fail();
    assert.deepEqual(refreshed.inputs["imageScanningConfiguration"], { scanOnPush: false });
    const wanted = await checked(token, inputs, refreshed.inputs);
    assert.deepEqual(changes(token, refreshed, wanted), {
      "imageScanningConfiguration.scanOnPush": "UPDATE",
      "tags.theirs": "DELETE",
      tagsAll: "UPDATE",
    });
    await update(token, refreshed, inputs);
    assert.deepEqual((await refresh(token, live))?.outputs, live.outputs);
  });

  it("refuse a name that exists, with the error of AWS", async () => {
    await assert.rejects(typeOf(token).create({ name }, session), {
      message: new RegExp(
        `^creating ECR Repository \\(${name}\\): operation error ECR: CreateRepository, ` +
          "https response error StatusCode: 400, RequestID: .*, RepositoryAlreadyExistsException: ",
      ),
    });
  });

  it("have a policy, whose equivalent spellings are no change", async () => {
    const statement = { Sid: "x", Effect: "Allow", Principal: "*", Action: "ecr:ListImages" };
    const document = (one: object): string => JSON.stringify({ Version: "2008-10-17", Statement: [one] });
    const part = "aws:ecr/repositoryPolicy:RepositoryPolicy";
    const live = await lifecycle(part, { repository: name, policy: document(statement) });
    assert.deepEqual([live.id, live.outputs["registryId"]], [name, account]);
    const policyText = document({ ...statement, Principal: { AWS: ["*"] }, Action: ["ecr:ListImages"] });
    await session.ecr().send(new ecr.SetRepositoryPolicyCommand({ repositoryName: name, policyText }));
    assert.deepEqual(await refresh(part, live), live);
    const theirs = document({ ...statement, Action: "ecr:PutImage" });
    await session.ecr().send(new ecr.SetRepositoryPolicyCommand({ repositoryName: name, policyText: theirs }));
    const refreshed = (await refresh(part, live)) ?? assert.fail();
    assert.deepEqual(changes(part, refreshed, live.inputs), { policy: "UPDATE" });
    await update(part, refreshed, { repository: name, policy: document(statement) });
    await assertDeleted(part, live);
  });

  it("have a lifecycle policy", async () => {
    const rule = (count: number): object => ({
      rulePriority: count,
      selection: { tagStatus: "any", countType: "imageCountMoreThan", countNumber: count },
      action: { type: "expire" },
    });
    const part = "aws:ecr/lifecyclePolicy:LifecyclePolicy";
    const live = await lifecycle(part, { repository: name, policy: JSON.stringify({ rules: [rule(1)] }) });
    const lifecyclePolicyText = JSON.stringify({ rules: [rule(2)] });
    await session.ecr().send(new ecr.PutLifecyclePolicyCommand({ repositoryName: name, lifecyclePolicyText }));
    const refreshed = (await refresh(part, live)) ?? assert.fail();
    assert.deepEqual(changes(part, refreshed, live.inputs), { policy: "UPDATE_REPLACE" });
    await assertDeleted(part, live);
  });

  it("are deleted", async () => {
    const live = firstOf(token);
    await assertDeleted(token, live);
  });
});
