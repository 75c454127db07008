import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { IAMClient } from "@aws-sdk/client-iam";
import { deployerPolicy, deployerStatements, makeDeployer, type Deployer } from "../deployer.ts";
import { aws } from "../local/machine.ts";
import { makeStack } from "./interrupted-stack.ts";
import { LiveStack, registrationsOf } from "./live-stack.ts";

/** What the policy gives and nobody here asks for. */
const unasked = {
  "a registry of AWS asks for these whose token pushes; the emulator's registry asks for the token alone": [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
  ],
  "Pulumi's AWS provider calls these when it refreshes, moves or deletes; the in-process engine has no need of them": [
    "ecr:ListTagsForResource",
    "iam:GetPolicyVersion",
    "iam:ListGroupsForUser",
    "iam:UpdateUser",
  ],
};

describe("a deployer who begins without any right", () => {
  const name = `fr-${randomBytes(3).toString("hex")}`;
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_REGION: region } = aws;
  const root = new IAMClient({
    endpoint: aws.AWS_ENDPOINT_URL,
    region,
    credentials: { accessKeyId, secretAccessKey },
  });
  const stack = new LiveStack();
  const allowed = new Set<string>();
  let deployer: Deployer;

  before(async () => {
    deployer = await makeDeployer(root, `deployer-${name}`);
    // The engine's clients are made at their first use, with these.
    Object.assign(process.env, aws, {
      AWS_ACCESS_KEY_ID: deployer.key.AccessKeyId,
      AWS_SECRET_ACCESS_KEY: deployer.key.SecretAccessKey,
    });
  });

  after(async () => {
    await deployer.allow(await deployerPolicy(name));
    await stack.down();
    stack.forget();
    await deployer.remove();
  });

  /** Does some work again and again, and each time gives the right that it was refused for. */
  const refused = async (work: () => Promise<unknown>): Promise<{ named: string[]; again: string }> => {
    const named: string[] = [];
    for (;;) {
      const since = performance.now();
      const message = await work().then(
        () => undefined,
        (error: unknown) => (error as Error).message,
      );
      const again = `right again after ${String(Math.round(performance.now() - since))} ms`;
      if (message === undefined) return { named, again };
      const action = /not authorized to perform: (\w+:\w+)/.exec(message)?.[1];
      assert.ok(action !== undefined && !allowed.has(action), message);
      named.push(action);
      allowed.add(action);
      await deployer.allow(await deployerPolicy(name, (one) => allowed.has(one)));
    }
  };
  const upOf = async (config: Readonly<Record<string, string>>, policy?: string): Promise<() => Promise<unknown>> => {
    const all = (await registrationsOf(name, config)).filter(({ type }) => type.startsWith("aws:"));
    const changed = all.map((one) =>
      policy !== undefined && one.type.endsWith(":Policy") ? { ...one, inputs: { ...one.inputs, policy } } : one,
    );
    return async () => stack.up(changed);
  };

  it("is told of each that he lacks, by its name, and goes on when he has it", async (t) => {
    const hardened = { tags: '["team=builds"]', permissionsBoundary: "arn:aws:iam::aws:policy/PowerUserAccess" };
    const [first, other] = [["*"], ["arn:aws:ecr:*:*:*"]].map((Resource) =>
      JSON.stringify({ Statement: [{ Effect: "Allow", Action: "ecr:GetAuthorizationToken", Resource }] }),
    );
    const commands: readonly [what: string, work: () => Promise<unknown>][] = [
      ["up", await upOf({})],
      ["up again", await upOf({})],
      ["up with tags and a boundary", await upOf(hardened)],
      ["up without them again", await upOf({})],
      ["up with another policy", await upOf({}, first)],
      ["up with a third one", await upOf({}, other)],
      ["down", async () => stack.down()],
    ];
    for (const [what, work] of commands) {
      const { named, again } = await refused(work);
      t.diagnostic(`outcome: ${what} without rights | each missing one is named: ${named.join(" ")} | ${again}`);
    }
  });

  it("lacks nothing then, and needs all that infra/deployer-policy.json gives him for identity accessKey", async () => {
    const own = /^(RepositoryAndImage|Policy|IdentityAccessKey|AttachNothingElse)$/;
    const given = (await deployerStatements(name))
      .filter(({ Sid = "" }) => own.test(Sid))
      .flatMap(({ Action }) => Action)
      .filter((action) => !action.includes("Role"));
    const asked = [...allowed, ...Object.values(unasked).flat()];
    assert.deepEqual(asked.sort(), given.sort());
  });

  it("is told of the one for the image's login by the whole program, which leaves nothing when it is taken down", async (t) => {
    await deployer.allow(await deployerPolicy(name, (action) => action !== "ecr:GetAuthorizationToken"));
    const { AccessKeyId, SecretAccessKey } = deployer.key;
    const whole = await makeStack(name, "default");
    const settings = [`aws:accessKey=${AccessKeyId}`, `aws:secretKey=${SecretAccessKey}`];
    const { code, stderr } = await whole.run("up", { settings });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /getAuthorizationToken: User: .* is not authorized to perform: ecr:GetAuthorizationToken .*Remedy: allow it/,
    );
    assert.ok(!stderr.includes(SecretAccessKey));
    const down = await whole.run("destroy", { settings });
    assert.equal(down.code, 0, down.stderr);
    await whole.proveNothingIsLeft();
    await whole.forget();
    const again = `right again after ${String(down.milliseconds)} ms`;
    t.diagnostic(`outcome: no right to log in to the registry | the action is named, down leaves nothing | ${again}`);
  });
});
