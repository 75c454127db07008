// The AWS stand-in against the emulator: each type made, read, imported, changed by the program and by others, and deleted.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, describe, it } from "node:test";
import * as ecr from "@aws-sdk/client-ecr";
import * as eks from "@aws-sdk/client-eks";
import * as iam from "@aws-sdk/client-iam";
import { awsFunctions } from "../local/pulumi/aws/functions.ts";
import { awsProvider } from "../local/pulumi/aws/provider.ts";
import { awsSession } from "../local/pulumi/aws/session.ts";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import { InitFailedError, type Live, type ResourceType } from "../local/pulumi/resource-type.ts";
import { isSecret, plainProperties, type Properties } from "../local/pulumi/values.ts";
import { account, aws, cluster } from "../local/machine.ts";

Object.assign(process.env, aws);

type Token = keyof typeof awsTypes;
type Session = ReturnType<typeof awsSession>;

const session = awsSession({});
const name = `plugin-${randomBytes(3).toString("hex")}`;
const made: [Token, Live][] = [];
const naming = { name };

const policyDocument = (action: string): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: [action], Resource: "*" }] });
const trust = (service: string): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: service } }],
  });
const roleArn = (role: string): string => `arn:aws:iam::${account}:role/${role}`;

const typeOf = (token: Token): ResourceType<Session> => awsTypes[token];

async function checked(token: Token, inputs: Properties, oldInputs?: Properties): Promise<Properties> {
  const result = await typeOf(token).check({ inputs, oldInputs, naming });
  assert.deepEqual(result.failures, []);
  return result.inputs;
}

async function create(token: Token, inputs: Properties): Promise<Live> {
  const live = await typeOf(token).create(await checked(token, inputs), session);
  made.push([token, live]);
  return live;
}

async function update(token: Token, live: Live, inputs: Properties): Promise<Live> {
  const next = await checked(token, inputs, live.inputs);
  assert.deepEqual(typeOf(token).diff({ state: live.outputs, inputs: next }, session).replaces, []);
  const updated = await typeOf(token).update(live.id, live.outputs, next, session);
  assertSettled(token, updated, next);
  return updated;
}

const refresh = async (token: Token, live: Live): Promise<Live | undefined> =>
  typeOf(token).read(live.id, session, live);

/** What a program with these inputs would change. */
const changes = (token: Token, live: Live, inputs: Properties): Readonly<Record<string, string>> =>
  typeOf(token).diff({ state: live.outputs, inputs }, session).detailed;

function assertSettled(token: Token, live: Live, inputs: Properties): void {
  assert.deepEqual(changes(token, live, inputs), {});
}

const text = (live: Live, key: string): string => {
  const value = live.outputs[key];
  assert.ok(typeof value === "string", `${key} is a text`);
  return value;
};

after(async () => {
  for (const [token, live] of made.reverse()) {
    await typeOf(token)
      .delete(live.id, { ...live.outputs, forceDelete: true, forceDestroy: true }, session)
      .catch(() => undefined);
  }
});

/** What is the same for all types: a refresh and an import find what was made, and a second delete nothing to do. */
async function lifecycle(token: Token, inputs: Properties, importId?: (live: Live) => string): Promise<Live> {
  const live = await create(token, inputs);
  const refreshed = await refresh(token, live);
  assert.deepEqual(refreshed, live, "a refresh changes nothing");
  const imported = await typeOf(token).read(importId?.(live) ?? live.id, session);
  assert.ok(imported !== undefined);
  assert.equal(imported.id, live.id);
  assertSettled(token, imported, await checked(token, imported.inputs));
  assert.deepEqual(
    Object.keys(changes(token, imported, live.inputs)).filter((key) => !(key in live.inputs)),
    [],
    "an import knows all that the program says",
  );
  return live;
}

async function assertDeleted(token: Token, live: Live): Promise<void> {
  await typeOf(token).delete(live.id, live.outputs, session);
  assert.equal(await refresh(token, live), undefined);
  await typeOf(token).delete(live.id, live.outputs, session);
}

describe("repositories of the AWS stand-in", () => {
  const token = "aws:ecr/repository:Repository";
  const inputs = { name, imageScanningConfiguration: { scanOnPush: true }, tags: { team: "x" } };

  it("are made as the program says, and say what AWS says", async () => {
    const { outputs, id } = await lifecycle(token, inputs);
    assert.equal(id, name);
    assert.deepEqual(plainProperties(outputs), {
      arn: `arn:aws:ecr:us-east-1:${account}:repository/${name}`,
      encryptionConfigurations: [{ encryptionType: "AES256", kmsKey: "" }],
      imageScanningConfiguration: { scanOnPush: true },
      imageTagMutability: "MUTABLE",
      name,
      region: "us-east-1",
      registryId: account,
      repositoryUrl: `${account}.dkr.ecr.us-east-1.amazonaws.com/${name}`,
      tags: { team: "x" },
      tagsAll: { team: "x" },
    });
  });

  it("are changed in place", async () => {
    const [, live] = made.find(([one]) => one === token) ?? assert.fail();
    const next = { name, imageScanningConfiguration: { scanOnPush: false }, tags: {}, imageTagMutability: "IMMUTABLE" };
    const updated = await update(token, live, { ...next, forceDelete: true });
    assert.deepEqual(updated.outputs["imageScanningConfiguration"], { scanOnPush: false });
    assert.deepEqual([updated.outputs["forceDelete"], updated.outputs["tagsAll"]], [true, {}]);
    await update(token, updated, inputs);
  });

  it("show what others changed, and are mended", async () => {
    const [, live] = made.find(([one]) => one === token) ?? assert.fail();
    const client = session.ecr();
    await client.send(
      new ecr.PutImageScanningConfigurationCommand({
        repositoryName: name,
        imageScanningConfiguration: { scanOnPush: false },
      }),
    );
    const resourceArn = text(live, "arn");
    await client.send(new ecr.TagResourceCommand({ resourceArn, tags: [{ Key: "theirs", Value: "y" }] }));
    const seen = (await refresh(token, live)) ?? assert.fail();
    assert.deepEqual(seen.inputs["imageScanningConfiguration"], { scanOnPush: false });
    const wanted = await checked(token, inputs, seen.inputs);
    assert.deepEqual(changes(token, seen, wanted), {
      "imageScanningConfiguration.scanOnPush": "UPDATE",
      "tags.theirs": "DELETE",
      tagsAll: "UPDATE",
    });
    await update(token, seen, inputs);
    assert.deepEqual((await refresh(token, live))?.outputs, live.outputs);
  });

  it("refuse a name that is taken, in AWS' own words", async () => {
    await assert.rejects(typeOf(token).create({ name }, session), {
      message: new RegExp(
        `^creating ECR Repository \\(${name}\\): operation error ECR: CreateRepository, ` +
          "https response error StatusCode: 400, RequestID: .*, RepositoryAlreadyExistsException: ",
      ),
    });
  });

  it("hold a policy, of which the spelling does not count", async () => {
    const statement = { Sid: "x", Effect: "Allow", Principal: "*", Action: "ecr:ListImages" };
    const document = (one: object): string => JSON.stringify({ Version: "2008-10-17", Statement: [one] });
    const part = "aws:ecr/repositoryPolicy:RepositoryPolicy";
    const live = await lifecycle(part, { repository: name, policy: document(statement) });
    assert.deepEqual([live.id, live.outputs["registryId"]], [name, account]);
    const policyText = document({ ...statement, Principal: { AWS: ["*"] }, Action: ["ecr:ListImages"] });
    await session.ecr().send(new ecr.SetRepositoryPolicyCommand({ repositoryName: name, policyText }));
    assert.deepEqual(await refresh(part, live), live);
    const theirs = document({ ...statement, Action: "ecr:PutImage" });
    await session.ecr().send(new ecr.SetRepositoryPolicyCommand({ repositoryName: name, policyText: theirs }));
    const seen = (await refresh(part, live)) ?? assert.fail();
    assert.deepEqual(changes(part, seen, live.inputs), { policy: "UPDATE" });
    await update(part, seen, { repository: name, policy: document(statement) });
    await assertDeleted(part, live);
  });

  it("hold a lifecycle policy", async () => {
    const rule = (count: number): object => ({
      rulePriority: count,
      selection: { tagStatus: "any", countType: "imageCountMoreThan", countNumber: count },
      action: { type: "expire" },
    });
    const part = "aws:ecr/lifecyclePolicy:LifecyclePolicy";
    const live = await lifecycle(part, { repository: name, policy: JSON.stringify({ rules: [rule(1)] }) });
    const lifecyclePolicyText = JSON.stringify({ rules: [rule(2)] });
    await session.ecr().send(new ecr.PutLifecyclePolicyCommand({ repositoryName: name, lifecyclePolicyText }));
    const seen = (await refresh(part, live)) ?? assert.fail();
    assert.deepEqual(changes(part, seen, live.inputs), { policy: "UPDATE_REPLACE" });
    await assertDeleted(part, live);
  });

  it("are deleted, and not there any more", async () => {
    const [, live] = made.find(([one]) => one === token) ?? assert.fail();
    await assertDeleted(token, live);
  });
});

describe("users, policies and keys of the AWS stand-in", () => {
  const [policyToken, userToken] = ["aws:iam/policy:Policy", "aws:iam/user:User"] as const;
  const keyToken = "aws:iam/accessKey:AccessKey";
  const attachmentToken = "aws:iam/userPolicyAttachment:UserPolicyAttachment";
  const policyInputs = { name, description: "d", policy: policyDocument("ecr:GetAuthorizationToken") };
  let policy: Live;
  let user: Live;

  it("make a policy, in new versions of which only five are kept", async () => {
    policy = await lifecycle(policyToken, { ...policyInputs, tags: { a: "1" } });
    assert.equal(policy.id, `arn:aws:iam::${account}:policy/${name}`);
    assert.equal(policy.outputs["attachmentCount"], 0);
    for (let version = 1; version <= 6; version++) {
      const document = policyDocument(`ecr:Action${String(version)}`);
      policy = await update(policyToken, policy, { ...policyInputs, policy: document, tags: { a: String(version) } });
    }
    const versions = await session.iam.send(new iam.ListPolicyVersionsCommand({ PolicyArn: policy.id }));
    assert.equal(versions.Versions?.length, 5);
    policy = await update(policyToken, policy, policyInputs);
  });

  it("see a policy that others wrote, and mend it", async () => {
    await session.iam.send(
      new iam.DeletePolicyVersionCommand({ PolicyArn: policy.id, VersionId: await oldVersion(policy.id) }),
    );
    const theirs = { PolicyArn: policy.id, PolicyDocument: policyDocument("iam:*"), SetAsDefault: true };
    await session.iam.send(new iam.CreatePolicyVersionCommand(theirs));
    const seen = (await refresh(policyToken, policy)) ?? assert.fail();
    assert.match(text(seen, "policy"), /iam:\*/);
    const wanted = await checked(policyToken, policyInputs, seen.inputs);
    assert.deepEqual(changes(policyToken, seen, wanted), { policy: "UPDATE" });
    policy = await update(policyToken, seen, policyInputs);
  });

  it("make a user, and change its tags and its boundary", async () => {
    user = await lifecycle(userToken, { name, path: "/plugins/", tags: { a: "1" } });
    assert.equal(user.outputs["arn"], `arn:aws:iam::${account}:user/plugins/${name}`);
    assert.match(text(user, "uniqueId"), /^AIDA/);
    const next = { name, path: "/plugins/", permissionsBoundary: policy.id, tags: { a: "2", b: "3" } };
    user = await update(userToken, user, next);
    assert.equal(user.outputs["permissionsBoundary"], policy.id);
    user = await update(userToken, user, { name, path: "/plugins/" });
    assert.deepEqual([user.outputs["permissionsBoundary"], user.outputs["tagsAll"]], [undefined, {}]);
  });

  it("refuse a user that exists, with AWS' code, the call and the name", async () => {
    await assert.rejects(typeOf(userToken).create({ name }, session), {
      message: new RegExp(
        `^creating IAM User \\(${name}\\): operation error IAM: CreateUser, https response error StatusCode: 409, ` +
          "RequestID: .*, EntityAlreadyExists: ",
      ),
    });
  });

  it("attach a policy, and see when others detach it", async () => {
    const inputs = { user: name, policyArn: policy.id };
    const live = await lifecycle(attachmentToken, inputs, () => `${name}/${policy.id}`);
    assert.equal(live.id, `${name}-${policy.id}`);
    assert.equal((await refresh(policyToken, policy))?.outputs["attachmentCount"], 1);
    await session.iam.send(new iam.DetachUserPolicyCommand({ UserName: name, PolicyArn: policy.id }));
    assert.equal(await refresh(attachmentToken, live), undefined);
    await assertDeleted(attachmentToken, live);
    await assert.rejects(typeOf(attachmentToken).read("no-slash", session), /expected <user-name>\/<policy_arn>/);
  });

  it("make a key whose secret is told once, kept, and secret", async () => {
    const key = await create(keyToken, { user: name });
    assert.match(key.id, /^AKIA/);
    assert.ok(isSecret(key.outputs["secret"]) && isSecret(key.outputs["sesSmtpPasswordV4"]));
    assert.deepEqual(await refresh(keyToken, key), key);
    const own = awsSession({ accessKey: key.id, secretKey: plainProperties(key.outputs)["secret"] });
    assert.equal((await own.identity()).arn, `arn:aws:iam::${account}:user/plugins/${name}`);
    const imported = (await typeOf(keyToken).read(key.id, session)) ?? assert.fail();
    assert.deepEqual([imported.outputs["user"], imported.outputs["secret"]], [name, undefined]);
    assertSettled(keyToken, imported, await checked(keyToken, { user: name }));
  });

  it("deactivate a key, and activate one that others deactivated", async () => {
    const [, key] = made.find(([one]) => one === keyToken) ?? assert.fail();
    const inactive = await update(keyToken, key, { user: name, status: "Inactive" });
    assert.deepEqual(inactive.outputs["secret"], key.outputs["secret"]);
    const wanted = await checked(keyToken, { user: name }, key.inputs);
    const seen = (await refresh(keyToken, key)) ?? assert.fail();
    assert.deepEqual(changes(keyToken, seen, wanted), { status: "UPDATE" });
    await update(keyToken, seen, { user: name });
  });

  it("refuse a third key, and delete no user that has keys unless it is told to", async () => {
    await create(keyToken, { user: name });
    await assert.rejects(
      typeOf(keyToken).create({ user: name }, session),
      /^Error: creating IAM Access Key \(.*\): .*LimitExceeded/,
    );
    await assert.rejects(typeOf(userToken).delete(name, user.outputs, session), /DeleteConflict/);
    await typeOf(userToken).delete(name, { ...user.outputs, forceDestroy: true }, session);
    assert.equal(await refresh(userToken, user), undefined);
    for (const [token, key] of made.filter(([one]) => one === keyToken)) await assertDeleted(token, key);
    await assertDeleted(userToken, user);
    await assertDeleted(policyToken, policy);
  });

  it("make nothing for a user that is not there", async () => {
    await assert.rejects(
      typeOf(keyToken).create({ user: `${name}-nobody` }, session),
      /operation error IAM: CreateAccessKey, .*NoSuchEntity: /,
    );
  });
});

async function oldVersion(PolicyArn: string): Promise<string | undefined> {
  const { Versions = [] } = await session.iam.send(new iam.ListPolicyVersionsCommand({ PolicyArn }));
  return Versions.find((version) => version.IsDefaultVersion !== true)?.VersionId;
}

describe("roles and what takes them, by the AWS stand-in", () => {
  const roleToken = "aws:iam/role:Role";
  const oidcToken = "aws:iam/openIdConnectProvider:OpenIdConnectProvider";
  const associationToken = "aws:eks/podIdentityAssociation:PodIdentityAssociation";
  let role: Live;

  it("make a role, and change all that can be changed in place", async () => {
    const inputs = { name, assumeRolePolicy: trust("pods.eks.amazonaws.com"), tags: { a: "1" } };
    role = await lifecycle(roleToken, inputs);
    assert.equal(role.outputs["arn"], roleArn(name));
    assert.match(text(role, "createDate"), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const next = { ...inputs, assumeRolePolicy: trust("ec2.amazonaws.com"), description: "x", tags: { b: "2" } };
    role = await update(roleToken, role, { ...next, maxSessionDuration: 7200 });
    assert.deepEqual([role.outputs["maxSessionDuration"], role.outputs["description"]], [7200, "x"]);
    role = await update(roleToken, role, inputs);
    assert.deepEqual([role.outputs["maxSessionDuration"], role.outputs["description"]], [3600, ""]);
  });

  it("see a trust policy that others wrote", async () => {
    const theirs = { RoleName: name, PolicyDocument: trust("lambda.amazonaws.com") };
    await session.iam.send(new iam.UpdateAssumeRolePolicyCommand(theirs));
    const seen = (await refresh(roleToken, role)) ?? assert.fail();
    assert.deepEqual(changes(roleToken, seen, role.inputs), { assumeRolePolicy: "UPDATE" });
    role = await update(roleToken, seen, { ...role.inputs, __defaults: undefined });
  });

  it("attach a policy to a role, and delete it all the same where it is told to", async () => {
    const policy = await create("aws:iam/policy:Policy", { name: `${name}-r`, policy: policyDocument("s3:*") });
    const token = "aws:iam/rolePolicyAttachment:RolePolicyAttachment";
    const inputs = { role: name, policyArn: policy.id };
    const live = await lifecycle(token, inputs, () => `${name}/${policy.id}`);
    await assert.rejects(typeOf(roleToken).delete(name, role.outputs, session), /DeleteConflict/);
    await typeOf(roleToken).delete(name, { ...role.outputs, forceDetachPolicies: true }, session);
    assert.equal(await refresh(roleToken, role), undefined);
    await assertDeleted(token, live);
    await assertDeleted(roleToken, role);
    await assertDeleted("aws:iam/policy:Policy", policy);
  });

  it("make an OIDC provider, and find it by its issuer and by its ARN", async () => {
    const url = `https://${name}.example.com/id`;
    const live = await lifecycle(oidcToken, { url, clientIdLists: ["b", "a"], tags: { a: "1" } });
    assert.equal(live.id, `arn:aws:iam::${account}:oidc-provider/${name}.example.com/id`);
    assert.equal(live.outputs["url"], `${name}.example.com/id`);
    const lookup = awsFunctions["aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider"] ?? assert.fail();
    for (const wanted of [{ url }, { arn: live.id }]) {
      const found = await lookup(wanted, session);
      assert.deepEqual([found["arn"], found["url"]], [live.id, `${name}.example.com/id`]);
    }
    await assertDeleted(oidcToken, live);
    await assert.rejects(lookup({ url }, session), /finding IAM OIDC Provider by url/);
    await assert.rejects(lookup({ arn: live.id }, session), /couldn't find resource/);
  });

  it("associate a role with a service account, and import it by its cluster", async () => {
    const inputs = { clusterName: cluster, namespace: name, serviceAccount: name, roleArn: roleArn("one") };
    const live = await lifecycle(associationToken, inputs, ({ id }) => `${cluster},${id}`);
    const updated = await update(associationToken, live, { ...inputs, roleArn: roleArn("two") });
    const wanted = { clusterName: cluster, associationId: live.id };
    const found = await session.eks().send(new eks.DescribePodIdentityAssociationCommand(wanted));
    assert.equal(found.association?.roleArn, roleArn("two"));
    await assertDeleted(associationToken, updated);
    await assert.rejects(typeOf(associationToken).read("a-1", session), /use: 'cluster-name,association-id'/);
  });

  it("leave a resource in the state that is made, but not as it should be", async () => {
    const url = `https://${name}.example.com/thumb`;
    const live = await create(oidcToken, { url, clientIdLists: ["a"] });
    // The emulator has neither action; AWS might refuse them as well.
    const thumbprints = { url, clientIdLists: ["a", "b"], thumbprintLists: ["0".repeat(40)] };
    const failed = typeOf(oidcToken).update(live.id, live.outputs, await checked(oidcToken, thumbprints), session);
    await assert.rejects(failed, (error: unknown) => {
      assert.ok(error instanceof InitFailedError);
      assert.match(error.message, /operation error IAM: UpdateOpenIDConnectProviderThumbprint/);
      assert.deepEqual(error.live.outputs, live.outputs);
      return true;
    });
    await assertDeleted(oidcToken, live);
  });
});

describe("functions of the AWS stand-in", () => {
  const call = async (token: string, args: Properties = {}): Promise<Properties> =>
    (awsFunctions[token] ?? assert.fail(token))(args, session);

  it("tell who asks, and where", async () => {
    const identity = await call("aws:index/getCallerIdentity:getCallerIdentity");
    assert.deepEqual([identity["accountId"], identity["id"]], [account, account]);
    assert.deepEqual(await call("aws:index/getPartition:getPartition"), {
      partition: "aws",
      dnsSuffix: "amazonaws.com",
      reverseDnsPrefix: "com.amazonaws",
      id: "aws",
    });
    assert.equal((await call("aws:index/getRegion:getRegion"))["region"], "us-east-1");
    const china = await awsFunctions["aws:index/getPartition:getPartition"]?.({}, awsSession({ region: "cn-north-1" }));
    assert.equal(china?.["partition"], "aws-cn");
  });

  it("give a token whose secrets are secret", async () => {
    const token = await call("aws:ecr/getAuthorizationToken:getAuthorizationToken");
    assert.equal(token["userName"], "AWS");
    assert.ok(isSecret(token["password"]) && isSecret(token["authorizationToken"]));
    assert.match(token["proxyEndpoint"] as string, /^https?:\/\//);
    assert.ok(new Date(token["expiresAt"] as string) > new Date());
  });

  it("describe a cluster, and say which one is not there", async () => {
    const found = await call("aws:eks/getCluster:getCluster", { name: cluster });
    assert.equal(found["arn"], `arn:aws:eks:us-east-1:${account}:cluster/${cluster}`);
    const [authority] = found["certificateAuthorities"] as { data: string }[];
    assert.match(authority?.data ?? "", /^LS0tLS1/);
    assert.equal((found["identities"] as unknown[]).length, 1);
    const missing = call("aws:eks/getCluster:getCluster", { name: `${name}-none` });
    await assert.rejects(missing, /^Error: reading EKS Cluster \(.*-none\): .*ResourceNotFoundException/);
    await assert.rejects(call("aws:eks/getCluster:getCluster"), /name: Missing required argument/);
  });

  it("are not even asked by a provider with wrong credentials, or none", async () => {
    const wrong = { region: "us-east-1", accessKey: "AKIAWRONG", secretKey: "wrong-s3cret" };
    await assert.rejects(
      awsProvider.configure(wrong, () => undefined),
      (error: unknown) => {
        assert.ok(error instanceof Error);
        assert.match(
          error.message,
          /^configuring Terraform AWS Provider: validating provider credentials: .*InvalidClientTokenId/,
        );
        assert.doesNotMatch(error.message, /wrong-s3cret/);
        return true;
      },
    );
    await awsProvider.configure({ ...wrong, skipCredentialsValidation: true }, () => undefined);
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = aws;
    delete process.env["AWS_ACCESS_KEY_ID"];
    delete process.env["AWS_SECRET_ACCESS_KEY"];
    await assert.rejects(
      awsProvider.configure({ region: "us-east-1", profile: `${name}-none` }, () => undefined),
      /^Error: unable to validate AWS credentials\.\nDetails: No valid credential sources found/,
    );
    Object.assign(process.env, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY });
    const [own, other] = [[account], ["000000000000"]];
    await awsProvider.configure({ allowedAccountIds: own }, () => undefined);
    for (const rule of [{ allowedAccountIds: other }, { forbiddenAccountIds: own }]) {
      await assert.rejects(
        awsProvider.configure(rule, () => undefined),
        /AWS account ID not allowed: 123456789012/,
      );
    }
  });

  it("say that AWS is out of reach, and which call it was", async () => {
    const nowhere = awsSession({ region: "us-east-1", endpoints: [{ sts: "http://127.0.0.1:9" }], maxRetries: 0 });
    await assert.rejects(nowhere.identity(), /operation error STS: GetCallerIdentity, .*ECONNREFUSED/);
  });
});
