// Pulumi's Kubernetes provider logs in to an EKS cluster as the identity that the AWS provider has, and as no other. Only that
// identity has an access entry here, and the environment has the key of the account's root, which has none.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  AssociateAccessPolicyCommand,
  CreateAccessEntryCommand,
  DeleteAccessEntryCommand,
  EKSClient,
} from "@aws-sdk/client-eks";
import {
  CreateAccessKeyCommand,
  CreateRoleCommand,
  DeleteAccessKeyCommand,
  DeleteRoleCommand,
  DeleteRolePolicyCommand,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { cloudEnvironment } from "../local/cloud.ts";
import { account, aws, backend, cluster, roleArn } from "../local/settings.ts";
import { boundaryArn, createDeployer, deployerPolicy, type Deployer } from "../support/deployer.ts";
import type { ProxiedStack } from "./proxied-stack.ts";
import { commands, type PulumiResult } from "./pulumi-commands.ts";
import { createStackAndNamespace, iam, removeStackAndNamespace } from "./stack-resources.ts";

const eks = new EKSClient();

async function grantAccess(principalArn: string): Promise<void> {
  const principal = { clusterName: cluster, principalArn };
  await eks.send(new CreateAccessEntryCommand(principal));
  const policyArn = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy";
  await eks.send(new AssociateAccessPolicyCommand({ ...principal, policyArn, accessScope: { type: "cluster" } }));
}

const removeAccess = async (principalArn: string): Promise<void> =>
  void (await eks.send(new DeleteAccessEntryCommand({ clusterName: cluster, principalArn })));

describe("the login to an EKS cluster", () => {
  const name = `fl-${randomBytes(3).toString("hex")}`;
  const build = `build-${name}`;
  const role = `login-${name}`;
  const userArn = `arn:aws:iam::${account}:user/${role}`;
  const inEks = ["kubeconfig=", `eksCluster=${cluster}`];
  let [user, stack, folder]: [Deployer | undefined, ProxiedStack | undefined, string] = [undefined, undefined, ""];
  let keys: readonly string[] = [];
  const assumed = `aws:assumeRoles=[{"roleArn":"${roleArn(role)}"}]`;
  const secretKey = (): string => user?.key.SecretAccessKey ?? assert.fail("there is no user");
  const stackOf = (): ProxiedStack => stack ?? assert.fail("there is no stack");

  before(async () => {
    user = await createDeployer(iam, role, name);
    const policy = JSON.parse(await deployerPolicy(name)) as { Statement: object[] };
    const mayAssume = { Effect: "Allow", Action: "sts:AssumeRole", Resource: roleArn(role) };
    await user.allow(JSON.stringify({ ...policy, Statement: [...policy.Statement, mayAssume] }));
    const { AccessKeyId, SecretAccessKey } = user.key;
    keys = [`aws:accessKey=${AccessKeyId}`, `aws:secretKey=${SecretAccessKey}`];
    folder = await mkdtemp(join(tmpdir(), "ecr-helper-login-"));
    const file = join(folder, "credentials");
    const team = ["[team]", `aws_access_key_id=${AccessKeyId}`, `aws_secret_access_key=${SecretAccessKey}`, ""];
    const options = ["external_id=EXAMPLE", "role_session_name=deployer", ""];
    const assuming = ["[deployer]", `role_arn=${roleArn(role)}`, "source_profile=team", ...options];
    await writeFile(file, [...team, ...assuming].join("\n"), { mode: 0o600 });
    const Statement = [{ Effect: "Allow", Principal: { AWS: userArn }, Action: "sts:AssumeRole" }];
    const AssumeRolePolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement });
    await iam.send(new CreateRoleCommand({ RoleName: role, AssumeRolePolicyDocument }));
    const PolicyDocument = await deployerPolicy(name);
    await iam.send(new PutRolePolicyCommand({ RoleName: role, PolicyName: "deployer", PolicyDocument }));
    stack = await createStackAndNamespace(name, build, `permissionsBoundary=${boundaryArn(name)}`);
    stack.environment = {
      AWS_ACCESS_KEY_ID: aws.AWS_ACCESS_KEY_ID,
      AWS_SECRET_ACCESS_KEY: aws.AWS_SECRET_ACCESS_KEY,
      AWS_SHARED_CREDENTIALS_FILE: file,
      // Not through the proxy: an EKS token is signed for the address that it was requested from.
      AWS_ENDPOINT_URL: aws.AWS_ENDPOINT_URL,
    };
  });
  after(async () => {
    if (stack !== undefined) await removeStackAndNamespace(stack, build);
    await iam.send(new DeleteRolePolicyCommand({ RoleName: role, PolicyName: "deployer" }));
    await iam.send(new DeleteRoleCommand({ RoleName: role }));
    await user?.remove();
    await rm(folder, { recursive: true });
  });

  /** Runs a command with these settings while these principals, and no others, have access to the cluster. */
  const runFor = async (
    principals: readonly string[],
    settings: readonly string[],
    command: readonly string[],
  ): Promise<PulumiResult> => {
    stackOf().configure(...inEks, ...settings);
    for (const principal of principals) await grantAccess(principal);
    try {
      return await stackOf().try(...command);
    } finally {
      for (const principal of principals) await removeAccess(principal);
    }
  };

  for (const [what, principal, settings] of [
    ["by keys in the configuration", userArn, (): readonly string[] => keys],
    ["by a profile, whatever keys are in the environment", userArn, (): readonly string[] => ["aws:profile=team"]],
    ["by a profile that assumes a role itself", roleArn(role), (): readonly string[] => ["aws:profile=deployer"]],
    ["by a role that a profile assumes", roleArn(role), (): readonly string[] => ["aws:profile=team", assumed]],
  ] as const) {
    it(`is ${what}`, async () => {
      const { code, output } = await runFor([principal], settings(), ["preview"]);
      assert.equal(code, 0, output);
    });
  }

  it("is by a role that keys assume, which the state has encrypted", async () => {
    const { code, output } = await runFor([roleArn(role)], [...keys, assumed], commands.up);
    assert.equal(code, 0, output);
    const state = await readFile(join(backend, ".pulumi/stacks/ecr-helper", `${name}.json`), "utf8");
    assert.ok(state.includes("pulumi:providers:kubernetes::cluster"));
    assert.ok(!state.includes(secretKey()) && !output.includes(secretKey()));
  });

  it("is refused to an identity without an access entry, on preview and on destroy", async () => {
    for (const command of [["preview"], commands.destroy]) {
      const { code, output } = await runFor([userArn], [...keys, assumed], command);
      assert.notEqual(code, 0);
      assert.match(output, /cluster is unreachable: .*the server has asked for the client to provide credentials/);
    }
  });

  it("needs the AWS CLI, and says so on preview and on destroy", async () => {
    const { environment } = stackOf();
    // Only the commands that the stand-ins for Pulumi's plugins need.
    const link = `for one in node dirname docker; do ln -s "$(command -v $one)" '${folder}'; done`;
    execFileSync("sh", ["-ec", link], { env: { ...process.env, ...cloudEnvironment() } });
    stackOf().environment = { ...environment, PATH: folder };
    const [planned, destroyed] = [
      await runFor([roleArn(role)], [...keys, assumed], ["preview"]),
      await runFor([roleArn(role)], [...keys, assumed], commands.destroy),
    ];
    stackOf().environment = environment;
    assert.notEqual(planned.code, 0);
    assert.match(
      planned.output,
      /expected the AWS CLI, 2\.7 or .*Nothing was changed\. \(there is no command aws in PATH\)/,
    );
    assert.notEqual(destroyed.code, 0);
    assert.match(
      destroyed.output,
      /cluster is unreachable: .*executable aws not found[^]*Install the AWS CLI, 2\.7 or/,
    );
  });

  it("is by the keys of the last up, so that destroy with other ones has to run the program", async () => {
    const { AccessKey: next } = await iam.send(new CreateAccessKeyCommand({ UserName: role }));
    const nextKey = { AccessKeyId: String(next?.AccessKeyId), SecretAccessKey: String(next?.SecretAccessKey) };
    await iam.send(new DeleteAccessKeyCommand({ UserName: role, AccessKeyId: user?.key.AccessKeyId }));
    const settings = [`aws:accessKey=${nextKey.AccessKeyId}`, `aws:secretKey=${nextKey.SecretAccessKey}`, assumed];
    const refused = await runFor([roleArn(role)], settings, commands.destroy);
    assert.notEqual(refused.code, 0);
    assert.match(refused.output, /unable to validate AWS credentials/);
    const { code, output } = await runFor([roleArn(role)], settings, [...commands.destroy, "--run-program"]);
    assert.equal(code, 0, output);
    await stackOf().assertCleanedUp();
  });
});
