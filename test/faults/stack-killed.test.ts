import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { firstPullName } from "../../infra/first-pull.ts";
import { changesOf } from "../support/commands.ts";
import { commands, type ProxiedStack } from "./proxied-stack.ts";
import { recoverState } from "./recover-state.ts";
import { awsRequest, objectRequest, type RequestKind } from "./request-kinds.ts";
import { ports } from "../local/settings.ts";
import { defaultRoleName } from "../support/role-name.ts";
import { assertConverged, removeStackAndNamespace, imageTags, createStackAndNamespace } from "./stack-resources.ts";

const name = `fs-${randomBytes(3).toString("hex")}`;
const build = `build-${name}`;
const owner = `ecr-helper-${name}`;
const role = defaultRoleName(owner);
const firstPull = firstPullName(`${ports.registry.address}:${String(ports.registry.port)}`, "ecr-creds-pull");
const made = (...ends: string[]): RequestKind[] => ends.map((end) => objectRequest("POST", end));
const deleted = (...ends: string[]): RequestKind[] => ends.map((end) => objectRequest("DELETE", end));
const calls = (...actions: string[]): RequestKind[] => actions.map((action) => awsRequest(action));
const policies = (kind: string): string[] =>
  ["secrets", "serviceaccounts"].map((resource) => `/${kind}/${owner}-${resource}`);

/** What an `up` makes, in the order that it has to: each of a step has what it needs when the step before is made. */
const creations: readonly RequestKind[][] = [
  [
    ...calls("ecr:CreateRepository", "iam:CreatePolicy", "iam:CreateUser"),
    ...made(`/namespaces/${name}`, `/clusterroles/${owner}`),
  ],
  [
    ...calls("ecr:SetRepositoryPolicy", "ecr:PutLifecyclePolicy", "iam:AttachUserPolicy", "iam:CreateAccessKey"),
    ...made("/serviceaccounts/ecr-helper", `/secrets/${firstPull}`, `/${build}/roles/${role}`),
    ...made(`/${name}/roles/${role}`),
  ],
  made(
    "/secrets/ecr-helper",
    // Not in the step before, which is as large as the engine makes at once.
    "/networkpolicies/ecr-helper",
    `/clusterrolebindings/${owner}`,
    `/${build}/rolebindings/${role}`,
    `/${name}/rolebindings/${role}`,
    ...policies("validatingadmissionpolicies"),
  ),
  // The bindings of the policies are made while the image is pushed, which is a moment of its own.
  made("/deployments/ecr-helper"),
  [...made(`/clusterroles/${owner}-stack`), objectRequest("PATCH", `/secrets/${firstPull}`)],
];

/** What `destroy` deletes, step by step. The image stays in the repository, and goes with that. */
const deletions: readonly RequestKind[][] = [
  deleted(`/clusterroles/${owner}-stack`),
  deleted("/deployments/ecr-helper"),
  deleted(...policies("validatingadmissionpolicybindings")),
  deleted(
    `/clusterrolebindings/${owner}`,
    `/${build}/rolebindings/${role}`,
    `/${name}/rolebindings/${role}`,
    ...policies("validatingadmissionpolicies"),
  ),
  deleted(
    "/networkpolicies/ecr-helper",
    "/secrets/ecr-helper",
    `/secrets/${firstPull}`,
    "/serviceaccounts/ecr-helper",
    `/${name}/roles/${role}`,
  ),
  deleted(`/namespaces/${name}`, `/clusterroles/${owner}`, `/${build}/roles/${role}`),
  calls("ecr:DeleteRepositoryPolicy", "ecr:DeleteLifecyclePolicy", "iam:DetachUserPolicy", "iam:DeleteAccessKey"),
  calls("iam:DeletePolicy", "ecr:DeleteRepository", "iam:DeleteUser"),
];

const count = (steps: readonly RequestKind[][]): number => steps.flat().length;

/** Resolves when the registry has an image of the stack: whoever pushes it does not know yet. */
async function isPushed(): Promise<void> {
  while ((await imageTags(name)).length === 0) await sleep(10);
}

describe("a stack whose commands are killed at every resource", () => {
  let stack: ProxiedStack;

  before(async () => (stack = await createStackAndNamespace(name, build)));
  after(async () => removeStackAndNamespace(stack, build));

  it("up killed before anything is made goes on when what it had begun is cleared", async () => {
    await stack.killedAt(creations[0] ?? [], commands.up, "before");
    await stack.pulumi("cancel", "--yes");
    // Pulumi's own provider may be among them: it is nothing outside of the state.
    const begun = (await stack.pendingOperations()).filter(
      ({ resource }) => !resource.type.startsWith("pulumi:providers:"),
    );
    assert.equal(begun.length, creations[0]?.length);
    await stack.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates");
    assert.deepEqual(await stack.pendingOperations(), []);
  });

  it("up killed when things are made and not written down goes on when they are imported, and makes nothing twice", async (t) => {
    for (const step of creations) {
      await stack.killedAt(step, commands.up);
      const pending = await recoverState(stack);
      assert.ok(pending.length >= step.length, JSON.stringify(pending));
      if (step !== creations[2]) continue;
      await stack.killedWhen(isPushed(), commands.up);
      await recoverState(stack);
    }
    const { code, output, milliseconds } = await stack.up();
    assert.equal(code, 0, output);
    await assertConverged(stack, build);
    const held = `${String(count(creations) + 1)} resources in ${String(creations.length + 1)} kills; one user, key and policy version, nothing made twice`;
    const again = `recovered after ${String(milliseconds)} ms`;
    t.diagnostic(`outcome: up killed at every resource | ${held} | ${again}`);
  });

  it("what a killed up made is changed later as anything else is", async () => {
    stack.configure("logLevel=debug");
    const { code, output } = await stack.up();
    assert.equal(code, 0, output);
    assert.deepEqual(changesOf({ stderr: output }), ["updated Deployment ecr-helper"]);
  });

  it("down goes on where it was killed, and nothing is left", async (t) => {
    for (const step of deletions) {
      await stack.killedAt(step, commands.destroy);
      await stack.pulumi("cancel", "--yes");
    }
    const { code, output, milliseconds } = await stack.destroy();
    assert.equal(code, 0, output);
    await stack.proveNothingIsLeft();
    const held = `${String(count(deletions))} resources in ${String(deletions.length)} kills; what was gone was no error`;
    t.diagnostic(`outcome: down killed at every resource | ${held} | recovered after ${String(milliseconds)} ms`);
  });
});
