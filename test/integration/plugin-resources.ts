// Shared by the tests of the AWS stand-in's resource types: creates, refreshes, imports, updates and deletes resources with the
// stand-in's own methods, as Pulumi's engine calls them.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { aws } from "../local/settings.ts";
import { awsSession, type AwsSession } from "../local/pulumi/aws/session.ts";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import type { LiveResource, ResourceType } from "../local/pulumi/resource-type.ts";
import type { Properties } from "../local/pulumi/values.ts";

Object.assign(process.env, aws);

/** The token of a resource type, such as `aws:iam/role:Role`. */
export type Token = keyof typeof awsTypes;

/** A session as the emulator's root user. */
export const session = awsSession({});
/** The name of a test file's resources, or its prefix. */
export const name = `plugin-${randomBytes(3).toString("hex")}`;
/** The created resources, in the order of creation. */
export const created: [Token, LiveResource][] = [];
const naming = { name };

/** An IAM policy that allows one action. */
export const policyDocument = (action: string): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: [action], Resource: "*" }] });

/** The implementation of a resource type. */
export const typeOf = (token: Token): ResourceType<AwsSession> => awsTypes[token];

/** The inputs that the type's `check` returns. Fails if it reports failures. */
export async function checked(token: Token, inputs: Properties, oldInputs?: Properties): Promise<Properties> {
  const result = await typeOf(token).check({ inputs, oldInputs, naming });
  assert.deepEqual(result.failures, []);
  return result.inputs;
}

/** Creates a resource as the engine does. `removeCreated` deletes it at the latest. */
export async function create(token: Token, inputs: Properties): Promise<LiveResource> {
  const live = await typeOf(token).create(await checked(token, inputs), session);
  created.push([token, live]);
  return live;
}

/** Updates a resource in place, and asserts that nothing remains to be changed. */
export async function update(token: Token, live: LiveResource, inputs: Properties): Promise<LiveResource> {
  const next = await checked(token, inputs, live.inputs);
  assert.deepEqual(typeOf(token).diff({ state: live.outputs, inputs: next }, session).replaces, []);
  const updated = await typeOf(token).update(live.id, live.outputs, next, session);
  assertNoChanges(token, updated, next);
  return updated;
}

/** The current state of a resource; undefined if it does not exist. */
export const refresh = async (token: Token, live: LiveResource): Promise<LiveResource | undefined> =>
  typeOf(token).read(live.id, session, live);

/** The properties that a program with these inputs would change, each with the kind of change. */
export const changes = (token: Token, live: LiveResource, inputs: Properties): Readonly<Record<string, string>> =>
  typeOf(token).diff({ state: live.outputs, inputs }, session).detailed;

/** Asserts that a program with these inputs would change nothing. */
export function assertNoChanges(token: Token, live: LiveResource, inputs: Properties): void {
  assert.deepEqual(changes(token, live, inputs), {});
}

/** An output that is a string. Fails if it is not. */
export const text = (live: LiveResource, key: string): string => {
  const value = live.outputs[key];
  assert.ok(typeof value === "string", `${key} is a string`);
  return value;
};

/** Deletes all created resources; those that a test has deleted are ignored. */
export async function removeCreated(): Promise<void> {
  for (const [token, live] of created.reverse()) {
    await typeOf(token)
      .delete(live.id, { ...live.outputs, forceDelete: true, forceDestroy: true }, session)
      .catch(() => undefined);
  }
}

/** Creates a resource, and asserts what holds for all types: a refresh and an import find it with nothing to change. */
export async function lifecycle(
  token: Token,
  inputs: Properties,
  importId?: (live: LiveResource) => string,
): Promise<LiveResource> {
  const live = await create(token, inputs);
  const refreshed = await refresh(token, live);
  assert.deepEqual(refreshed, live, "a refresh changes nothing");
  const imported = await typeOf(token).read(importId?.(live) ?? live.id, session);
  assert.ok(imported !== undefined);
  assert.equal(imported.id, live.id);
  assertNoChanges(token, imported, await checked(token, imported.inputs));
  assert.deepEqual(changes(token, imported, live.inputs), {}, "an import finds all inputs of the program");
  return live;
}

/** Deletes a resource, and asserts that a second deletion has no error. */
export async function assertDeleted(token: Token, live: LiveResource): Promise<void> {
  await typeOf(token).delete(live.id, live.outputs, session);
  assert.equal(await refresh(token, live), undefined);
  await typeOf(token).delete(live.id, live.outputs, session);
}

/** The first resource of a type that the test file created. Fails if there is none. */
export function firstOf(token: Token): LiveResource {
  const [, live] = created.find(([one]) => one === token) ?? assert.fail(`no ${token} was created`);
  return live;
}
