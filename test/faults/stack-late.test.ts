import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { ProxiedStack } from "./proxied-stack.ts";
import { commands } from "./pulumi-commands.ts";
import { awsRequest } from "./request-kinds.ts";
import { policyArn, assertConverged, removeStackAndNamespace, createStackAndNamespace } from "./stack-resources.ts";
import { shell } from "./shell.ts";

describe("npm run up after an up was killed", () => {
  const name = `fs-${randomBytes(3).toString("hex")}`;
  const build = `build-${name}`;
  let stack: ProxiedStack;

  before(async () => (stack = await createStackAndNamespace(name, build)));
  after(async () => removeStackAndNamespace(stack, build));

  it("names each resource that exists already, and continues once they are deleted", async (t) => {
    const calls = ["ecr:CreateRepository", "iam:CreatePolicy", "iam:CreateUser"].map((action) => awsRequest(action));
    await stack.killedAt(calls, commands.up);

    // The engine stops at its first error, so that it takes several runs to name them all.
    const existing = [
      [`EntityAlreadyExists: User with name ${name} already exists`, `aws iam delete-user --user-name ${name}`],
      [
        `EntityAlreadyExists: A policy called ${name} already exists`,
        `aws iam delete-policy --policy-arn ${policyArn(name)}`,
      ],
      ["RepositoryAlreadyExistsException: ", `aws ecr delete-repository --repository-name ${name}`],
    ] as const;
    const named = new Set<string>();
    while (named.size < existing.length) {
      const { code, output } = await shell(`'${process.execPath}' test/local/cli.ts up --stack ${name}`);
      assert.equal(code, 1, output);
      if (named.size === 0)
        assert.match(output, new RegExp(`A pulumi command on stack ${name} was killed; its lock is`));
      assert.match(output, /Remedy: /);
      const reported = existing.filter(([message]) => output.includes(message) && !named.has(message));
      assert.notEqual(reported.length, 0, output);
      // They are new and empty, so that they can be deleted.
      const deleted = await shell(reported.map(([, command]) => command).join("\n"));
      assert.equal(deleted.code, 0, deleted.output);
      for (const [message] of reported) named.add(message);
    }
    await stack.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates");
    const ended = await stack.up();
    assert.equal(ended.code, 0, ended.output);
    await assertConverged(stack, build);
    const again = `recovered after ${String(ended.milliseconds)} ms`;
    t.diagnostic(`outcome: up killed, and run again at once | it names what exists already | ${again}`);
  });
});
