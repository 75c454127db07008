import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import * as ecr from "@aws-sdk/client-ecr";
import * as iam from "@aws-sdk/client-iam";
import { connect } from "../../helper/kube.ts";
import type { Registration } from "../local/engine/live.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { account, aws, kubeconfig } from "../local/machine.ts";
import { LiveStack, registrationsOf, timed } from "./live-stack.ts";

Object.assign(process.env, aws);
const [users, repositories] = [new iam.IAMClient(), new ecr.ECRClient()];
const options = readKubeconfig(kubeconfig);
const kube = connect(options);

const name = `fn-${randomBytes(3).toString("hex")}`;
const PolicyArn = `arn:aws:iam::${account}:policy/${name}`;
const PolicyDocument = JSON.stringify({
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: "s3:ListAllMyBuckets", Resource: "*" }],
});
const clusterRoles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const minute = 60_000;

/** Something of somebody else's, whom the stack meets in its way. */
interface Foreign {
  readonly what: string;
  /** `TYPE NAME` of the stack's own. */
  readonly resource: RegExp;
  /** The same and what it needs; made by other names they are in nobody's way. */
  readonly withOtherNames?: RegExp;
  readonly make: () => Promise<unknown>;
  readonly read: () => Promise<object>;
  readonly remove: () => Promise<unknown>;
  readonly told: RegExp;
}

/** An object that another stack made: by the field manager that this one has, too. */
const object = (path: string, body: object): Pick<Foreign, "make" | "read" | "remove"> => {
  const { metadata } = body as { metadata: { name: string } };
  return {
    make: async () => kube({ method: "POST", path: `${path}?fieldManager=pulumi-kubernetes`, body }),
    read: async () => (await kube<{ metadata: object }>({ method: "GET", path: `${path}/${metadata.name}` })).metadata,
    remove: async () => kube({ method: "DELETE", path: `${path}/${metadata.name}` }),
  };
};

const foreigners: readonly Foreign[] = [
  {
    what: "an IAM user",
    resource: /:User /,
    make: async () => users.send(new iam.CreateUserCommand({ UserName: name })),
    read: async () => ({ ...(await users.send(new iam.GetUserCommand({ UserName: name }))).User }),
    remove: async () => users.send(new iam.DeleteUserCommand({ UserName: name })),
    told: new RegExp(`User with name ${name} already exists\\. Remedy: delete it, or choose another name`),
  },
  {
    what: "an IAM policy",
    resource: /:Policy /,
    make: async () => users.send(new iam.CreatePolicyCommand({ PolicyName: name, PolicyDocument })),
    read: async () => ({ ...(await users.send(new iam.GetPolicyCommand({ PolicyArn }))).Policy }),
    remove: async () => users.send(new iam.DeletePolicyCommand({ PolicyArn })),
    told: new RegExp(`policy called ${name} already exists.*\\. Remedy: delete it, or choose another name`),
  },
  {
    what: "a repository",
    resource: /:Repository /,
    make: async () => repositories.send(new ecr.CreateRepositoryCommand({ repositoryName: name })),
    read: async () => ({
      ...(await repositories.send(new ecr.DescribeRepositoriesCommand({ repositoryNames: [name] }))).repositories?.[0],
    }),
    remove: async () => repositories.send(new ecr.DeleteRepositoryCommand({ repositoryName: name })),
    told: new RegExp(`repository with name '${name}' already exists.*\\. Remedy: delete it, or choose another name`),
  },
  {
    what: "a ClusterRole",
    resource: /:ClusterRole /,
    ...object(clusterRoles, { metadata: { name: `ecr-helper-${name}` }, rules: [] }),
    told: new RegExp(`ClusterRole ecr-helper-${name} exists .*Remedy: delete it, or choose another name of the stack`),
  },
  {
    what: "a namespace",
    resource: /:Namespace /,
    ...object("/api/v1/namespaces", { metadata: { name } }),
    told: new RegExp(`Namespace ${name} exists .*Remedy: set ecr-helper:createNamespace to false, or choose another`),
  },
  {
    what: "a secret",
    resource: /:Secret ecr-helper$/,
    withOtherNames: /:(Namespace|Secret) ecr-helper$/,
    ...object(`/api/v1/namespaces/${name}/secrets`, { metadata: { name: "ecr-helper" } }),
    told: new RegExp(`Secret ecr-helper in namespace ${name} exists .*Remedy: delete it, or choose another namespace`),
  },
];

describe("a stack whose names are taken by somebody else", () => {
  let registrations: Registration[];
  /** By names that nobody has. */
  let otherwise: Registration[];
  const find = (all: readonly Registration[], wanted: RegExp): Registration[] =>
    all.filter((one) => wanted.test(`${one.type} ${one.name}`));

  before(async () => {
    registrations = await registrationsOf(name);
    otherwise = await registrationsOf(`${name}-b`);
    for (const { make } of foreigners) await make();
  });

  after(async () => {
    for (const { remove } of [...foreigners].reverse()) await remove();
  });

  for (const { what, resource, withOtherNames, read, told } of foreigners) {
    it(`names ${what} and what to do, and leaves it as it is, even where it was killed before it asked`, async (t) => {
      const there = await read();
      const stack = new LiveStack();
      t.after(() => stack.forget());
      const [wanted, ...more] = find(registrations, resource);
      assert.ok(wanted !== undefined && more.length === 0);
      await assert.rejects(stack.up([wanted]), told);
      await stack.down();
      // Killed before it asked; the other one was there before, or came afterwards.
      for (const since of [Date.now() + minute, Date.now() - 10 * minute]) {
        stack.begin(wanted, new Date(since));
        await assert.rejects(stack.up([wanted]), told);
        stack.begin(wanted, new Date(since));
        await stack.down();
      }
      assert.deepEqual(stack.state().all, []);
      assert.deepEqual(await read(), there);
      const again = await timed(stack.up(find(otherwise, withOtherNames ?? resource)));
      await stack.down();
      t.diagnostic(`outcome: ${what} of that name | it is named and untouched, by up and by down | ${again}`);
    });
  }
});

describe("a stack to which somebody else added something", () => {
  const own = `${name}-own`;
  const key = { UserName: own };
  let stack: LiveStack;
  let registrations: Registration[];
  const inAws = async (config: Readonly<Record<string, string>> = {}): Promise<Registration[]> =>
    (await registrationsOf(own, config)).filter(({ type }) => type.startsWith("aws:"));

  before(async () => {
    registrations = await inAws();
    stack = new LiveStack();
    await stack.up(registrations);
  });

  after(async () => {
    await stack.down();
    stack.forget();
  });

  it("keeps the key of somebody else while it takes back one of its own that nobody wrote down", async (t) => {
    const keys = async (): Promise<(string | undefined)[]> =>
      (await users.send(new iam.ListAccessKeysCommand(key))).AccessKeyMetadata?.map((one) => one.AccessKeyId) ?? [];
    const remove = async (AccessKeyId = ""): Promise<unknown> =>
      users.send(new iam.DeleteAccessKeyCommand({ ...key, AccessKeyId }));
    const [ownKey] = await keys();
    const foreign = (await users.send(new iam.CreateAccessKeyCommand(key))).AccessKey?.AccessKeyId;
    // Killed before it asked for its own.
    await remove(ownKey);
    for (const one of registrations.filter(({ type }) => type.endsWith(":AccessKey"))) {
      stack.begin(one, new Date(Date.now() - 10 * minute));
    }
    await stack.up(registrations);
    assert.ok((await keys()).length === 2 && (await keys()).includes(foreign));
    await assert.rejects(stack.down(), /:User ecr-helper: Cannot delete entity.* Remedy: take away from it what/);
    assert.deepEqual(await keys(), [foreign]);
    await remove(foreign);
    const again = await timed(stack.up(registrations));
    t.diagnostic(`outcome: a key of somebody else's | it is never taken back; down names the user | ${again}`);
  });

  it("keeps a repository with images unless it was told otherwise, and goes on from there either way", async (t) => {
    const config = {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: `sha256:${"0".repeat(64)}`,
      size: 2,
    };
    const imageManifest = JSON.stringify({ schemaVersion: 2, config, layers: [] });
    const repository = { repositoryName: own };
    await repositories.send(new ecr.PutImageCommand({ ...repository, imageManifest, imageTag: "theirs" }));
    await assert.rejects(
      stack.down(),
      /Repository ecr-helper: .* Remedy: run up with -c forceDelete=true, .* then down/,
    );
    const again = await timed(stack.up(registrations));
    const { imageDetails } = await repositories.send(new ecr.DescribeImagesCommand(repository));
    assert.deepEqual(imageDetails?.[0]?.imageTags, ["theirs"]);
    assert.equal(stack.state().all.length, registrations.length, "all the rest is there again");
    await stack.up(await inAws({ forceDelete: "true" }));
    await stack.down();
    assert.deepEqual(stack.state().all, []);
    await assert.rejects(repositories.send(new ecr.DescribeImagesCommand(repository)), ecr.RepositoryNotFoundException);
    t.diagnostic(`outcome: down of a repository with images | refused with the remedy, the images stay | ${again}`);
  });
});
