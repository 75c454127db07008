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
import { changesOf } from "../support/commands.ts";
import { waitUntilGone } from "../local/watch.ts";
import { defaultRoleName } from "../support/role-name.ts";
import { commands, type ProxiedStack, type PulumiResult } from "./proxied-stack.ts";
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

const again = ({ milliseconds }: PulumiResult): string => `recovered after ${String(milliseconds)} ms`;

async function deleteKeys(): Promise<void> {
  const calls = (await accessKeyIds(name)).map(
    (AccessKeyId) => new DeleteAccessKeyCommand({ UserName: name, AccessKeyId }),
  );
  await Promise.all(calls.map(async (call) => iam.send(call)));
}

/** Deletes by hand all that the stack made, in the order that AWS wants. */
async function deleteEverything(): Promise<void> {
  await deleteObject(`/api/v1/namespaces/${name}`);
  const cluster = ["clusterroles", "clusterrolebindings"].map((kind) => `${kind}/ecr-helper-${name}`);
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
  await waitUntilGone(options, `/api/v1/namespaces?fieldSelector=metadata.name%3D${name}`, 60_000);
}

describe("a stack that is changed behind its back", () => {
  let stack: ProxiedStack;

  before(async () => (stack = await createStackAndNamespace(name, build)));
  after(async () => removeStackAndNamespace(stack, build));

  it("comes up, and has nothing to do then", async () => {
    const { code, output } = await stack.up();
    assert.equal(code, 0, output);
    await assertConverged(stack, build);
  });

  it("a rotation of the key goes on where it was killed; at every moment there is a login that is taken", async (t) => {
    stack.configure(rotated);
    const taken: boolean[] = [];
    const looks = setInterval(() => void hasAcceptedLogin(build).then((one) => taken.push(one)), 50);
    t.after(() => clearInterval(looks));
    const first = await accessKeyIdInUse(name);
    const cancel = async (): Promise<unknown> => stack.pulumi("cancel", "--yes");

    // The key that nobody knows takes the room of the new one, until somebody deletes it.
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
    clearInterval(looks);
    assert.ok(taken.length > 20 && !taken.includes(false));
    await assertConverged(stack, build);
    assert.notEqual(await accessKeyIdInUse(name), first);
    const held = `4 times killed; 0 of ${String(taken.length)} looks without a login; one key`;
    t.diagnostic(`outcome: rotation killed at every change | ${held} | ${again(ended)}`);
  });

  it("up makes again, and nothing else, the single things that were deleted", async (t) => {
    await deleteKeys();
    await ecr.send(new DeleteLifecyclePolicyCommand({ repositoryName: name }));
    await deleteObject(`/api/v1/namespaces/${name}/secrets/ecr-helper`);
    await deleteObject(`/apis/apps/v1/namespaces/${name}/deployments/ecr-helper`);
    await deleteObject(`${rbac}/namespaces/${build}/rolebindings/${defaultRoleName(`ecr-helper-${name}`)}`);
    assert.ok(await hasAcceptedLogin(build), "the login goes on without all these");
    const ended = await stack.up();
    assert.equal(ended.code, 0, ended.output);
    assert.deepEqual(
      changesOf({ stderr: ended.output })
        .filter((change) => change.startsWith("created") || change.startsWith("updated"))
        .sort(),
      [
        "created AccessKey ecr-helper-2",
        "created Deployment ecr-helper",
        `created LifecyclePolicy ${name}`,
        `created RoleBinding ecr-helper-${build}`,
        "created Secret ecr-helper",
      ],
    );
    await assertConverged(stack, build);
    t.diagnostic(
      `outcome: key, secret, Deployment, RoleBinding deleted by hand | the login is taken | ${again(ended)}`,
    );
  });

  it("up makes everything again where everything was deleted, and the image when it is told to", async (t) => {
    await deleteEverything();
    const ended = await stack.up();
    assert.equal(ended.code, 0, ended.output);
    await assertConverged(stack, build);
    // Docker's provider takes an image for there for ever: the nodes that have it go on, and others find none.
    assert.deepEqual(await imageTags(name), []);
    const pushed = await stack.try(...commands.up, "--replace", "**docker:index/image:Image::ecr-helper");
    assert.equal(pushed.code, 0, pushed.output);
    assert.equal((await imageTags(name)).length, 1);
    await assertConverged(stack, build);
    t.diagnostic(`outcome: everything deleted by hand | up says what it made again | ${again(ended)}`);
  });

  it("down works where everything was deleted", async (t) => {
    await deleteEverything();
    const ended = await stack.destroy();
    assert.equal(ended.code, 0, ended.output);
    await stack.proveNothingIsLeft();
    t.diagnostic(`outcome: down of what was deleted by hand | what is gone is no error | ${again(ended)}`);
  });
});
