// What the tests of the AWS stand-in's types share: resources made, refreshed, imported, changed and deleted by its own methods,
// as the engine calls them.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { aws } from "../local/settings.ts";
import { awsSession, type AwsSession } from "../local/pulumi/aws/session.ts";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import type { LiveResource, ResourceType } from "../local/pulumi/resource-type.ts";
import type { Properties } from "../local/pulumi/values.ts";

Object.assign(process.env, aws);

export type Token = keyof typeof awsTypes;

/** The emulator's root user. */
export const session = awsSession({});
/** What everything of a test file is called, or starts with. */
export const name = `plugin-${randomBytes(3).toString("hex")}`;
/** In the order in which they were made. */
export const created: [Token, LiveResource][] = [];
const naming = { name };

/** An IAM policy that allows one action. */
export const policyDocument = (action: string): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: [action], Resource: "*" }] });

/** The type that a test is about. */
export const typeOf = (token: Token): ResourceType<AwsSession> => awsTypes[token];

/** Inputs as check gives them, without failures. */
export async function checked(token: Token, inputs: Properties, oldInputs?: Properties): Promise<Properties> {
  const result = await typeOf(token).check({ inputs, oldInputs, naming });
  assert.deepEqual(result.failures, []);
  return result.inputs;
}

/** Makes a resource as the engine does; it is deleted after the test at the latest. */
export async function create(token: Token, inputs: Properties): Promise<LiveResource> {
  const live = await typeOf(token).create(await checked(token, inputs), session);
  created.push([token, live]);
  return live;
}

/** Changes a resource in place. Nothing is left to change then. */
export async function update(token: Token, live: LiveResource, inputs: Properties): Promise<LiveResource> {
  const next = await checked(token, inputs, live.inputs);
  assert.deepEqual(typeOf(token).diff({ state: live.outputs, inputs: next }, session).replaces, []);
  const updated = await typeOf(token).update(live.id, live.outputs, next, session);
  assertNoChanges(token, updated, next);
  return updated;
}

/** The resource as it is; undefined where it is not there. */
export const refresh = async (token: Token, live: LiveResource): Promise<LiveResource | undefined> =>
  typeOf(token).read(live.id, session, live);

/** What a program with these inputs would change. */
export const changes = (token: Token, live: LiveResource, inputs: Properties): Readonly<Record<string, string>> =>
  typeOf(token).diff({ state: live.outputs, inputs }, session).detailed;

/** A program with these inputs would change nothing. */
export function assertNoChanges(token: Token, live: LiveResource, inputs: Properties): void {
  assert.deepEqual(changes(token, live, inputs), {});
}

/** An output that is a text. */
export const text = (live: LiveResource, key: string): string => {
  const value = live.outputs[key];
  assert.ok(typeof value === "string", `${key} is a text`);
  return value;
};

/** Whatever a failed test left. */
export async function removeCreated(): Promise<void> {
  for (const [token, live] of created.reverse()) {
    await typeOf(token)
      .delete(live.id, { ...live.outputs, forceDelete: true, forceDestroy: true }, session)
      .catch(() => undefined);
  }
}

/** What is the same for all types: a refresh and an import find what was made, and a second delete nothing to do. */
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
  assert.deepEqual(changes(token, imported, live.inputs), {}, "an import knows all that the program says");
  return live;
}

/** Deletes a resource, and once more what is gone. */
export async function assertDeleted(token: Token, live: LiveResource): Promise<void> {
  await typeOf(token).delete(live.id, live.outputs, session);
  assert.equal(await refresh(token, live), undefined);
  await typeOf(token).delete(live.id, live.outputs, session);
}

/** The first resource of a type that the test file made. */
export function firstOf(token: Token): LiveResource {
  const [, live] = created.find(([one]) => one === token) ?? assert.fail(`no ${token} was made`);
  return live;
}
