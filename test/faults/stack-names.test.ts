import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import * as ecr from "@aws-sdk/client-ecr";
import {
  CreateAccessKeyCommand,
  CreatePolicyCommand,
  CreateUserCommand,
  DeleteAccessKeyCommand,
  DeletePolicyCommand,
  DeleteUserCommand,
  GetPolicyCommand,
  GetUserCommand,
} from "@aws-sdk/client-iam";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { ProxiedStack } from "./proxied-stack.ts";
import { commands, type PulumiResult } from "./pulumi-commands.ts";
import { policyArn, deleteObject, iam, accessKeyIdInUse, accessKeyIds, kube, rbac } from "./stack-resources.ts";

const repositories = new ecr.ECRClient();
const name = `fn-${randomBytes(3).toString("hex")}`;
const PolicyArn = policyArn(name);
const PolicyDocument = JSON.stringify({
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: "s3:ListAllMyBuckets", Resource: "*" }],
});

/** A resource of another owner whose name the stack wants. */
interface Foreign {
  readonly what: string;
  readonly make: () => Promise<unknown>;
  readonly read: () => Promise<object>;
  readonly remove: () => Promise<unknown>;
  /** The error of `pulumi up`. */
  readonly error: RegExp;
}

const foreigners: readonly Foreign[] = [
  {
    what: "an IAM user",
    make: async () => iam.send(new CreateUserCommand({ UserName: name })),
    read: async () => ({ ...(await iam.send(new GetUserCommand({ UserName: name }))).User }),
    remove: async () => iam.send(new DeleteUserCommand({ UserName: name })),
    error: new RegExp(`creating IAM User \\(${name}\\): .* EntityAlreadyExists: User with name ${name} already exists`),
  },
  {
    what: "an IAM policy",
    make: async () => iam.send(new CreatePolicyCommand({ PolicyName: name, PolicyDocument })),
    read: async () => ({ ...(await iam.send(new GetPolicyCommand({ PolicyArn }))).Policy }),
    remove: async () => iam.send(new DeletePolicyCommand({ PolicyArn })),
    error: new RegExp(
      `creating IAM Policy \\(${name}\\): .* EntityAlreadyExists: A policy called ${name} already exists`,
    ),
  },
  {
    what: "a repository",
    make: async () => repositories.send(new ecr.CreateRepositoryCommand({ repositoryName: name })),
    read: async () => ({
      ...(await repositories.send(new ecr.DescribeRepositoriesCommand({ repositoryNames: [name] }))).repositories?.[0],
    }),
    remove: async () => repositories.send(new ecr.DeleteRepositoryCommand({ repositoryName: name })),
    error: new RegExp(`creating ECR Repository \\(${name}\\): .* RepositoryAlreadyExistsException: .*'${name}'`),
  },
];

const outcome = ({ milliseconds }: PulumiResult): string => `recovered after ${String(milliseconds)} ms`;

describe("a stack whose names are taken in AWS", () => {
  let stack: ProxiedStack;

  before(async () => {
    for (const { make } of foreigners) await make();
    stack = await ProxiedStack.make(name, ['buildNamespaces=["default"]']);
  });

  after(async () => {
    await stack.end();
    for (const { remove } of [...foreigners].reverse()) await remove();
  });

  it("names each of them, and leaves them as they are, through up and down", async (t) => {
    const there = await Promise.all(foreigners.map(async ({ read }) => read()));
    const { code, output } = await stack.try(...commands.up, "--continue-on-error");
    assert.notEqual(code, 0);
    for (const { error } of foreigners) assert.match(output, error);
    const down = await stack.destroy();
    assert.equal(down.code, 0, down.output);
    assert.deepEqual(await Promise.all(foreigners.map(async ({ read }) => read())), there);
    t.diagnostic(
      `outcome: ${foreigners.map(({ what }) => what).join(", ")} of that name | named and untouched | ${outcome(down)}`,
    );
  });

  it("can be created under other names", async () => {
    const other = await ProxiedStack.make(`${name}-b`, ['buildNamespaces=["default"]']);
    const { code, output } = await other.up();
    assert.equal(code, 0, output);
    await other.end();
  });
});

/** Creates an object as the field manager `theirs`. */
const make = async (path: string, body: object): Promise<unknown> =>
  kube({ method: "POST", path: `${path}?fieldManager=theirs`, body });
const read = async (path: string): Promise<object | undefined> =>
  undefinedIfNotFound(kube<object>({ method: "GET", path }));

describe("a stack whose names are taken in the cluster", () => {
  const own = `${name}-c`;
  const clusterRoles = `${rbac}/clusterroles`;
  const role = `${clusterRoles}/ecr-helper-${own}`;
  const secrets = `/api/v1/namespaces/${own}/secrets`;
  let stack: ProxiedStack;

  before(async () => {
    stack = await ProxiedStack.make(own, ['buildNamespaces=["default"]']);
  });

  after(async () => stack.end());

  it("names each of them, and leaves them as they are, through up and down", async (t) => {
    const namespace = `/api/v1/namespaces/${own}`;
    const objects = [
      [clusterRoles, { metadata: { name: `ecr-helper-${own}` }, rules: [] }],
      ["/api/v1/namespaces", { metadata: { name: own } }],
    ] as const;
    for (const [path, body] of objects) await make(path, body);
    const there = [await read(role), await read(namespace)];
    const { code, output } = await stack.try(...commands.up, "--continue-on-error");
    assert.notEqual(code, 0);
    assert.match(output, new RegExp(`clusterroles.rbac.authorization.k8s.io "ecr-helper-${own}" already exists`));
    assert.match(output, new RegExp(`namespaces "${own}" already exists`));
    const down = await stack.destroy();
    assert.equal(down.code, 0, down.output);
    assert.deepEqual([await read(role), await read(namespace)], there);
    await deleteObject(role);
    t.diagnostic(`outcome: a ClusterRole, a namespace of that name | named and untouched | ${outcome(down)}`);
  });

  it("names a secret that exists in its namespace, and leaves it as it is", async (t) => {
    await make(secrets, { metadata: { name: "ecr-helper" }, data: { theirs: "" } });
    const there = await read(`${secrets}/ecr-helper`);
    stack.configure("createNamespace=false");
    const { code, output } = await stack.up();
    assert.notEqual(code, 0);
    assert.match(output, /secrets "ecr-helper" already exists/);
    const down = await stack.destroy();
    assert.equal(down.code, 0, down.output);
    assert.deepEqual(await read(`${secrets}/ecr-helper`), there);
    await deleteObject(`/api/v1/namespaces/${own}`);
    t.diagnostic(`outcome: a secret of that name | named and untouched | ${outcome(down)}`);
  });
});

describe("a stack with an access key and images that it did not create", () => {
  const own = `${name}-own`;
  let stack: ProxiedStack;

  before(async () => {
    stack = await ProxiedStack.make(own, ['buildNamespaces=["default"]', "forceDelete=false"]);
    const { code, output } = await stack.up();
    assert.equal(code, 0, output);
  });

  after(async () => stack.end());

  it("deletes a repository with images only with forceDelete, and a foreign access key never", async (t) => {
    const key = { UserName: own };
    const foreign = (await iam.send(new CreateAccessKeyCommand(key))).AccessKey?.AccessKeyId;
    const again = await stack.up();
    assert.equal(again.code, 0, again.output);
    assert.deepEqual(
      (await accessKeyIds(own)).sort(),
      [await accessKeyIdInUse(own), foreign].sort(),
      "up leaves it alone",
    );

    const refused = await stack.destroy();
    assert.notEqual(refused.code, 0);
    assert.match(refused.output, new RegExp(`ECR Repository \\(${own}\\) not empty, .*RepositoryNotEmptyException`));
    assert.match(refused.output, new RegExp(`deleting IAM User \\(${own}\\): .* DeleteConflict: `));
    assert.deepEqual(await accessKeyIds(own), [foreign]);
    const { imageDetails = [] } = await repositories.send(new ecr.DescribeImagesCommand({ repositoryName: own }));
    assert.ok(imageDetails.length > 0, "the images stay");

    await iam.send(new DeleteAccessKeyCommand({ ...key, AccessKeyId: foreign }));
    stack.configure("forceDelete=true");
    const up = await stack.up();
    assert.equal(up.code, 0, up.output);
    const down = await stack.destroy();
    assert.equal(down.code, 0, down.output);
    await stack.assertCleanedUp();
    t.diagnostic(`outcome: down of a repository with images | refused, the images stay | ${outcome(down)}`);
    t.diagnostic(`outcome: a foreign access key | never deleted; down names the user | ${outcome(down)}`);
  });
});
