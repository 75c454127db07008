import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { IAMClient } from "@aws-sdk/client-iam";
import { deployerPolicy, deployerStatements, makeDeployer, type Deployer } from "../deployer.ts";
import { aws, cluster, nodeRole, roleArn } from "../local/machine.ts";
import { ofTheProviderAlone, unknownToEmulator } from "../whole/aws-rights.ts";
import { makeStack } from "./interrupted-stack.ts";
import { LiveStack, registrationsOf } from "./live-stack.ts";

/** What the policy gives, and AWS does not ask for in so many words. */
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
  "AWS asks for this one where a role is given to EKS; the emulator does not": ["iam:PassRole"],
  "the emulator does not know these": [...unknownToEmulator, "eks:TagResource", "iam:TagOpenIDConnectProvider"],
  ...ofTheProviderAlone,
};

/** The emulator does not know how to tag them once they are made. */
const untaggable = /:(OpenIdConnectProvider|PodIdentityAssociation)$/;

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
  /** `change` gives the inputs of one type other values. */
  const upOf = async (
    config: Readonly<Record<string, string>>,
    change: { readonly type: string; readonly inputs: object } = { type: "none", inputs: {} },
  ): Promise<() => Promise<unknown>> => {
    const all = await registrationsOf(name, { roleName: name, ...config });
    const changed = all
      .filter(({ type }) => type.startsWith("aws:"))
      .map((one) => {
        const tags = untaggable.test(one.type) ? { tags: {} } : {};
        return { ...one, inputs: { ...one.inputs, ...tags, ...(one.type.endsWith(change.type) ? change.inputs : {}) } };
      });
    return async () => stack.up(changed);
  };

  /** What an `up` left that was killed while it made the association: EKS has to be asked for it. */
  const killedUpOf = async (config: Readonly<Record<string, string>>): Promise<() => Promise<unknown>> => {
    const up = await upOf(config);
    const all = await registrationsOf(name, { roleName: name, ...config });
    const association = all.find(({ type }) => type.endsWith(":PodIdentityAssociation"));
    assert.ok(association !== undefined);
    const since = new Date();
    return async () => {
      stack.begin(association, since);
      await up();
    };
  };

  it("is told of each that he lacks, by its name, and goes on when he has it", async (t) => {
    const hardened = { tags: '["team=builds"]', permissionsBoundary: "arn:aws:iam::aws:policy/PowerUserAccess" };
    const irsa = { identity: "irsa", oidcIssuer: `https://oidc.example/${name}`, createOidcProvider: "true" };
    const podIdentity = { identity: "podIdentity", eksCluster: cluster, kubeconfig: "" };
    const another = { type: ":PodIdentityAssociation", inputs: { roleArn: roleArn(nodeRole) } };
    const [first, other] = [["*"], ["arn:aws:ecr:*:*:*"]].map((Resource) =>
      JSON.stringify({ Statement: [{ Effect: "Allow", Action: "ecr:GetAuthorizationToken", Resource }] }),
    );
    const commands: readonly [what: string, work: () => Promise<unknown>][] = [
      ["up", await upOf({})],
      ["up again", await upOf({})],
      ["up with tags and a boundary", await upOf(hardened)],
      ["up without them again", await upOf({})],
      ["up with another policy", await upOf({}, { type: ":Policy", inputs: { policy: first } })],
      ["up with a third one", await upOf({}, { type: ":Policy", inputs: { policy: other } })],
      ["up as irsa", await upOf(irsa)],
      ["up as irsa with tags and a boundary", await upOf({ ...irsa, ...hardened })],
      ["up as podIdentity", await upOf(podIdentity)],
      ["up as podIdentity for another role", await upOf(podIdentity, another)],
      ["up as podIdentity after one that was killed", await killedUpOf(podIdentity)],
      ["down", async () => stack.down()],
    ];
    for (const [what, work] of commands) {
      const { named, again } = await refused(work);
      t.diagnostic(`outcome: ${what} without rights | each missing one is named: ${named.join(" ")} | ${again}`);
    }
  });

  it("lacks nothing then, and needs all that infra/deployer-policy.json gives him for what he makes", async () => {
    const given = (await deployerStatements(name))
      .filter(({ Sid = "" }) => !/^(LogIn|FindOidcProviderOfIrsa|EksCluster)$/.test(Sid))
      .flatMap(({ Action }) => Action);
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
