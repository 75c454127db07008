import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setInterval } from "node:timers";
import { after, before, describe, it } from "node:test";
import { DeleteLifecyclePolicyCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import {
  DeleteAccessKeyCommand,
  DeletePolicyCommand,
  DeleteUserCommand,
  DetachUserPolicyCommand,
} from "@aws-sdk/client-iam";
import { ownerNames } from "../../helper/shared/ownership.ts";
import { changesOf } from "../support/commands.ts";
import { waitUntilGone } from "../local/watch.ts";
import { defaultRoleName } from "../support/role-name.ts";
import type { ProxiedStack } from "./proxied-stack.ts";
import { commands, type PulumiResult } from "./pulumi-commands.ts";
import { awsRequest, objectRequest } from "./request-kinds.ts";
import { deleteUnusedKeys } from "./recover-state.ts";
import {
  policyArn,
  assertConverged,
  deleteObject,
  removeStackAndNamespace,
  hasAcceptedLogin,
  iam,
  imageTags,
  accessKeyIdInUse,
  accessKeyIds,
  createStackAndNamespace,
  options,
  rbac,
} from "./stack-resources.ts";

const ecr = new ECRClient();
const name = `fs-${randomBytes(3).toString("hex")}`;
const build = `build-${name}`;
const rotated = "accessKeyGeneration=2";

const recovery = ({ milliseconds }: PulumiResult): string => `recovered after ${String(milliseconds)} ms`;

async function deleteKeys(): Promise<void> {
  const calls = (await accessKeyIds(name)).map(
    (AccessKeyId) => new DeleteAccessKeyCommand({ UserName: name, AccessKeyId }),
  );
  await Promise.all(calls.map(async (call) => iam.send(call)));
}

/** Deletes all resources of the stack by hand, in the order that AWS requires. */
async function deleteEverything(): Promise<void> {
  await deleteObject(`/api/v1/namespaces/${name}`);
  // A helper that still runs would keep its objects without owners, so that nothing collects them.
  await waitUntilGone(options, `/api/v1/namespaces?fieldSelector=metadata.name%3D${name}`, 60_000);
  const cluster = ["clusterroles", "clusterrolebindings"].flatMap((kind) =>
    ownerNames({ owner: `ecr-helper-${name}` }).map((owner) => `${kind}/${owner}`),
  );
  const inBuild = ["roles", "rolebindings"].map(
    (kind) => `namespaces/${build}/${kind}/${defaultRoleName(`ecr-helper-${name}`)}`,
  );
  for (const path of [...cluster, `clusterroles/ecr-helper-${name}-stack`, ...inBuild])
    await deleteObject(`${rbac}/${path}`);
  for (const kind of ["validatingadmissionpolicybindings", "validatingadmissionpolicies"])
    for (const resource of ["secrets", "serviceaccounts"])
      await deleteObject(`/apis/admissionregistration.k8s.io/v1/${kind}/ecr-helper-${name}-${resource}`);
  await ecr.send(new DeleteRepositoryCommand({ repositoryName: name, force: true }));
  await deleteKeys();
  await iam.send(new DetachUserPolicyCommand({ UserName: name, PolicyArn: policyArn(name) }));
  await iam.send(new DeletePolicyCommand({ PolicyArn: policyArn(name) }));
  await iam.send(new DeleteUserCommand({ UserName: name }));
}

describe("a stack whose resources are changed or deleted outside of Pulumi", () => {
  let stack: ProxiedStack;

  before(async () => (stack = await createStackAndNamespace(name, build)));
  after(async () => removeStackAndNamespace(stack, build));

  it("is created, and a second up changes nothing", async () => {
    const { code, output } = await stack.up();
    assert.equal(code, 0, output);
    await assertConverged(stack, build);
  });

  it("continues a key rotation that was killed, and the registry accepts the login at all times", async (t) => {
    stack.configure(rotated);
    const accepted: boolean[] = [];
    const checks = setInterval(() => void hasAcceptedLogin(build).then((one) => accepted.push(one)), 50);
    t.after(() => clearInterval(checks));
    const first = await accessKeyIdInUse(name);
    const cancel = async (): Promise<unknown> => stack.pulumi("cancel", "--yes");

    // The key whose secret was lost counts against the quota of two keys, until the user deletes it.
    await stack.killedAt([awsRequest("iam:CreateAccessKey")], commands.up);
    await cancel();
    const full = await stack.up();
    assert.match(full.output, /LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2/);
    await deleteUnusedKeys(name);
    assert.deepEqual(await accessKeyIds(name), [first]);
    await stack.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates");

    for (const call of [
      objectRequest("PATCH", "/secrets/ecr-helper"),
      objectRequest("PATCH", "/deployments/ecr-helper"),
      awsRequest("iam:DeleteAccessKey"),
    ]) {
      await stack.killedAt([call], commands.up);
      await cancel();
    }
    const ended = await stack.up();
    assert.equal(ended.code, 0, ended.output);
    clearInterval(checks);
    assert.ok(accepted.length > 20 && !accepted.includes(false));
    await assertConverged(stack, build);
    assert.notEqual(await accessKeyIdInUse(name), first);
    const held = `4 times killed; 0 of ${String(accepted.length)} checks without a login; one key`;
    t.diagnostic(`outcome: rotation killed at every change | ${held} | ${recovery(ended)}`);
  });

  it("gets exactly the deleted resources back by up", async (t) => {
    await deleteKeys();
    await ecr.send(new DeleteLifecyclePolicyCommand({ repositoryName: name }));
    await deleteObject(`/api/v1/namespaces/${name}/secrets/ecr-helper`);
    await deleteObject(`/apis/apps/v1/namespaces/${name}/deployments/ecr-helper`);
    await deleteObject(`${rbac}/namespaces/${build}/rolebindings/${defaultRoleName(`ecr-helper-${name}`)}`);
    assert.ok(await hasAcceptedLogin(build), "the login stays valid without them");
    const ended = await stack.up();
    assert.equal(ended.code, 0, ended.output);
    assert.deepEqual(
      changesOf({ stderr: ended.output })
        .filter((change) => change.startsWith("created") || change.startsWith("updated"))
        .sort(),
      [
        "created AccessKey ecr-helper-2",
        "created Deployment ecr-helper",
        "created DeploymentPatch ecr-helper-replicas",
        `created LifecyclePolicy ${name}`,
        `created RoleBinding ${defaultRoleName("ecr-helper")}-${build}`,
        "created Secret ecr-helper",
      ],
    );
    await assertConverged(stack, build);
    t.diagnostic(
      `outcome: key, secret, Deployment, RoleBinding deleted by hand | the login is accepted | ${recovery(ended)}`,
    );
  });

  it("gets either of the owners back by up, with a valid login at all times and the same pod", async (t) => {
    for (const [resource, owner] of [
      ["ecr-helper", `ecr-helper-${name}`],
      ["ecr-helper-owner", `ecr-helper-${name}-owner`],
    ] as const) {
      const accepted: boolean[] = [];
      const checks = setInterval(
        () =>
          void hasAcceptedLogin(build).then(
            (one) => accepted.push(one),
            () => accepted.push(false),
          ),
        50,
      );
      t.after(() => clearInterval(checks));
      await deleteObject(`${rbac}/clusterroles/${owner}`);
      const ended = await stack.up();
      assert.equal(ended.code, 0, ended.output);
      const changes = changesOf({ stderr: ended.output });
      assert.deepEqual(
        changes.filter((change) => /^(created|updated|replaced)/.test(change)),
        [`created ClusterRole ${resource}`],
      );
      await assertConverged(stack, build);
      clearInterval(checks);
      assert.ok(accepted.length > 20 && !accepted.includes(false));
      const held = `0 of ${String(accepted.length)} checks without a login; the pod stays`;
      t.diagnostic(`outcome: ClusterRole ${resource} deleted by hand | ${held} | ${recovery(ended)}`);
    }
  });

  it("gets everything back by up after everything was deleted, and the image with --replace", async (t) => {
    await deleteEverything();
    const ended = await stack.up();
    assert.equal(ended.code, 0, ended.output);
    await assertConverged(stack, build);
    // Docker's provider never notices that an image is gone: only nodes that have pulled it can run it.
    assert.deepEqual(await imageTags(name), []);
    const pushed = await stack.try(...commands.up, "--replace", "**docker:index/image:Image::ecr-helper");
    assert.equal(pushed.code, 0, pushed.output);
    assert.equal((await imageTags(name)).length, 1);
    await assertConverged(stack, build);
    t.diagnostic(`outcome: everything deleted by hand | up lists what it created again | ${recovery(ended)}`);
  });

  it("is destroyed without an error after everything was deleted", async (t) => {
    await deleteEverything();
    const ended = await stack.destroy();
    assert.equal(ended.code, 0, ended.output);
    await stack.assertCleanedUp();
    t.diagnostic(`outcome: down of what was deleted by hand | what is gone is no error | ${recovery(ended)}`);
  });
});
