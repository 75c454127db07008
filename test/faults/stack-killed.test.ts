import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { firstPullName } from "../../infra/first-pull.ts";
import { changesOf } from "../support/commands.ts";
import type { ProxiedStack } from "./proxied-stack.ts";
import { commands } from "./pulumi-commands.ts";
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

/** What an `up` creates, by step: each resource depends on resources of the step before. */
const creations: readonly RequestKind[][] = [
  [
    ...calls("ecr:CreateRepository", "iam:CreatePolicy", "iam:CreateUser"),
    ...made(`/namespaces/${name}`, `/clusterroles/${owner}`, `/clusterroles/${owner}-owner`),
  ],
  [
    ...calls("ecr:SetRepositoryPolicy", "ecr:PutLifecyclePolicy", "iam:AttachUserPolicy", "iam:CreateAccessKey"),
    ...made("/serviceaccounts/ecr-helper", `/secrets/${firstPull}`, `/${build}/roles/${role}`),
    ...made(`/${name}/roles/${role}`, "/networkpolicies/ecr-helper"),
    ...made("/poddisruptionbudgets/ecr-helper"),
  ],
  made(
    "/secrets/ecr-helper",
    // An import does not know a secret's type, so that this one is replaced.
    `/secrets/${firstPull}`,
    `/clusterrolebindings/${owner}`,
    `/clusterrolebindings/${owner}-owner`,
    `/${build}/rolebindings/${role}`,
    `/${name}/rolebindings/${role}`,
    ...policies("validatingadmissionpolicies"),
  ),
  // The policies' bindings are created while the image is pushed, which has a kill of its own.
  made("/deployments/ecr-helper"),
  [
    ...made(`/clusterroles/${owner}-stack`),
    objectRequest("PATCH", `/secrets/${firstPull}`),
    objectRequest("PATCH", "/deployments/ecr-helper"),
  ],
];

/** What `destroy` deletes, by step. The image is deleted with its repository. */
const deletions: readonly RequestKind[][] = [
  deleted(`/clusterroles/${owner}-stack`),
  deleted("/deployments/ecr-helper"),
  deleted(...policies("validatingadmissionpolicybindings")),
  deleted(
    `/clusterrolebindings/${owner}`,
    `/clusterrolebindings/${owner}-owner`,
    `/${build}/rolebindings/${role}`,
    `/${name}/rolebindings/${role}`,
    ...policies("validatingadmissionpolicies"),
  ),
  deleted(
    "/networkpolicies/ecr-helper",
    "/poddisruptionbudgets/ecr-helper",
    "/secrets/ecr-helper",
    `/secrets/${firstPull}`,
    "/serviceaccounts/ecr-helper",
    `/${name}/roles/${role}`,
  ),
  deleted(`/namespaces/${name}`, `/clusterroles/${owner}`, `/clusterroles/${owner}-owner`, `/${build}/roles/${role}`),
  calls("ecr:DeleteRepositoryPolicy", "ecr:DeleteLifecyclePolicy", "iam:DetachUserPolicy", "iam:DeleteAccessKey"),
  calls("iam:DeletePolicy", "ecr:DeleteRepository", "iam:DeleteUser"),
];

/** `up` that creates as many resources at once as any step has; by default the engine's limit depends on the machine. */
const up = [...commands.up, "--parallel", "16"];

const count = (steps: readonly RequestKind[][]): number => steps.flat().length;

/** Resolves when the registry has an image of the stack, before the push returns. */
async function isPushed(): Promise<void> {
  while ((await imageTags(name)).length === 0) await sleep(10);
}

describe("pulumi commands that are killed at every resource of a stack", () => {
  let stack: ProxiedStack;

  before(async () => (stack = await createStackAndNamespace(name, build, "replicas=2")));
  after(async () => removeStackAndNamespace(stack, build));

  it("continue after an up was killed before it created anything, once its pending operations are cleared", async () => {
    await stack.killedAt(creations[0] ?? [], up, "before");
    await stack.pulumi("cancel", "--yes");
    // A provider of Pulumi may be among them: it exists in the state alone.
    const begun = (await stack.pendingOperations()).filter(
      ({ resource }) => !resource.type.startsWith("pulumi:providers:"),
    );
    assert.equal(begun.length, creations[0]?.length);
    await stack.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates");
    assert.deepEqual(await stack.pendingOperations(), []);
  });

  it("continue after an up was killed before it recorded resources, once they are imported, and create nothing twice", async (t) => {
    for (const step of creations) {
      await stack.killedAt(step, up);
      const pending = await recoverState(stack);
      assert.ok(pending.length >= step.length, JSON.stringify(pending));
      if (step !== creations[2]) continue;
      assert.equal(pending.filter(({ isReplacement }) => isReplacement).length, 1);
      await stack.killedWhen(isPushed(), up);
      await recoverState(stack);
    }
    const { code, output, milliseconds } = await stack.up();
    assert.equal(code, 0, output);
    await assertConverged(stack, build);
    const held = `${String(count(creations) + 1)} resources in ${String(creations.length + 1)} kills; one user, key and policy version, nothing made twice`;
    const again = `recovered after ${String(milliseconds)} ms`;
    t.diagnostic(`outcome: up killed at every resource | ${held} | ${again}`);
  });

  it("update imported resources like any others", async () => {
    stack.configure("logLevel=debug");
    const { code, output } = await stack.up();
    assert.equal(code, 0, output);
    assert.deepEqual(changesOf({ stderr: output }), ["updated Deployment ecr-helper"]);
  });

  it("continue after a down was killed at every step, and leave nothing", async (t) => {
    for (const step of deletions) {
      await stack.killedAt(step, commands.destroy);
      await stack.pulumi("cancel", "--yes");
    }
    const { code, output, milliseconds } = await stack.destroy();
    assert.equal(code, 0, output);
    await stack.assertCleanedUp();
    const held = `${String(count(deletions))} resources in ${String(deletions.length)} kills; what was gone was no error`;
    t.diagnostic(`outcome: down killed at every resource | ${held} | recovered after ${String(milliseconds)} ms`);
  });
});
