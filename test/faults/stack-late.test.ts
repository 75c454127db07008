import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { awsCall, commands, type EngineStack } from "./proxied-stack.ts";
import { arnOf, assertWhole, endStackFor, makeStackFor } from "./stack-resources.ts";
import { shell } from "./shell.ts";

describe("a stack whose up was killed, and is run again as if nothing had been", () => {
  const name = `fs-${randomBytes(3).toString("hex")}`;
  const build = `build-${name}`;
  let stack: EngineStack;

  before(async () => (stack = await makeStackFor(name, build)));
  after(async () => endStackFor(stack, build));

  it("is told by npm run up of each that exists already, and goes on when these are deleted", async (t) => {
    const calls = ["ecr:CreateRepository", "iam:CreatePolicy", "iam:CreateUser"].map((action) => awsCall(action));
    await stack.killedAt(calls, commands.up);

    // The engine ends a command at its first error, so that some of them may be named by a later one.
    const there = [
      [`EntityAlreadyExists: User with name ${name} already exists`, `aws iam delete-user --user-name ${name}`],
      [
        `EntityAlreadyExists: A policy called ${name} already exists`,
        `aws iam delete-policy --policy-arn ${arnOf(name)}`,
      ],
      ["RepositoryAlreadyExistsException: ", `aws ecr delete-repository --repository-name ${name}`],
    ] as const;
    const named = new Set<string>();
    while (named.size < there.length) {
      const { code, said } = await shell(`'${process.execPath}' test/local/cli.ts up --stack ${name}`);
      assert.equal(code, 1, said);
      if (named.size === 0) assert.match(said, new RegExp(`A pulumi command on stack ${name} was killed; its lock is`));
      assert.match(said, /Remedy: /);
      const told = there.filter(([message]) => said.includes(message) && !named.has(message));
      assert.notEqual(told.length, 0, said);
      // They were made a moment ago, and nothing is in them.
      const deleted = await shell(told.map(([, command]) => command).join("\n"));
      assert.equal(deleted.code, 0, deleted.said);
      for (const [message] of told) named.add(message);
    }
    await stack.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates");
    const ended = await stack.up();
    assert.equal(ended.code, 0, ended.said);
    await assertWhole(stack, build);
    const again = `right again after ${String(ended.milliseconds)} ms`;
    t.diagnostic(`outcome: up killed, and run again at once | it names what exists already | ${again}`);
  });
});
