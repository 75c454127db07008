import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { DeleteLifecyclePolicyCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import {
  DeleteAccessKeyCommand,
  DeletePolicyCommand,
  DeleteUserCommand,
  DetachUserPolicyCommand,
  IAMClient,
  ListAccessKeysCommand,
  ListPolicyVersionsCommand,
} from "@aws-sdk/client-iam";
import { connect, orUndefined } from "../../helper/kube.ts";
import { changesOf } from "../e2e/commands.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { account, aws, kubeconfig, ports } from "../local/machine.ts";
import { waitForObject, waitUntilGone } from "../local/watch.ts";
import { isLoginTaken } from "../registry-login.ts";
import { makeStack, type InterruptedStack, type RunOptions } from "./interrupted-stack.ts";

interface Secret {
  metadata: { ownerReferences?: { uid: string }[] };
  data: Record<string, string>;
}

const options = readKubeconfig(kubeconfig);
const kube = connect(options);
Object.assign(process.env, aws);
const iam = new IAMClient();
const ecr = new ECRClient();
const rbac = "/apis/rbac.authorization.k8s.io/v1";
const decode = (text = ""): string => Buffer.from(text, "base64").toString();

const keysOf = async (UserName: string): Promise<string[]> => {
  const { AccessKeyMetadata = [] } = await iam.send(new ListAccessKeysCommand({ UserName }));
  return AccessKeyMetadata.map(({ AccessKeyId }) => String(AccessKeyId));
};
const arnOf = (policy: string): string => `arn:aws:iam::${account}:policy/${policy}`;
const secret = async (namespace: string, name: string): Promise<Secret> =>
  kube({ method: "GET", path: `/api/v1/namespaces/${namespace}/secrets/${name}` });

/** Whether the registry takes the login that a build namespace has. */
const hasGoodLogin = async (build: string): Promise<boolean> =>
  isLoginTaken(ports.registry, decode((await secret(build, "ecr-creds")).data["password"]));

async function makeStackFor(name: string, build: string): Promise<InterruptedStack> {
  await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: build } } });
  return makeStack(name, build);
}

async function removeStackFor(stack: InterruptedStack, build: string): Promise<void> {
  await stack.run("destroy");
  await stack.forget();
  await kube({ method: "DELETE", path: `/api/v1/namespaces/${build}` });
}

/** A stack is whole: the namespace has a login that is good, the user has the one key that its secret has. */
async function assertWhole(stack: InterruptedStack, name: string, build: string, run: RunOptions = {}): Promise<void> {
  const again = await stack.run("up", run);
  assert.match(again.stderr, /Resources:\n +25 unchanged\n$/, "the next up changes nothing");
  assert.deepEqual(await keysOf(name), [decode((await secret(name, "ecr-helper")).data["aws_access_key_id"])]);
  const { Versions } = await iam.send(new ListPolicyVersionsCommand({ PolicyArn: arnOf(name) }));
  assert.equal(Versions?.length, 1);
  // What the last one's owner took with it is there again a moment later.
  const path = `${rbac}/clusterroles/ecr-helper-${name}`;
  const { metadata } = await kube<{ metadata: { uid: string } }>({ method: "GET", path });
  const isOwned = (one: Secret): boolean => one.metadata.ownerReferences?.[0]?.uid === metadata.uid;
  const secrets = `/api/v1/namespaces/${build}/secrets?fieldSelector=metadata.name%3Decr-creds`;
  await waitForObject<Secret>(options, secrets, isOwned, 30_000);
  assert.ok(await hasGoodLogin(build));
}

/** Two stacks, one beside the other: each command is short, and most of it is waiting. */
describe("a stack whose commands are killed, and whose things are deleted by hand", { concurrency: true }, () => {
  describe("killed at every resource", { concurrency: 1 }, () => {
    const name = `fs-${randomBytes(3).toString("hex")}`;
    const build = `build-${name}`;
    let stack: InterruptedStack;
    before(async () => (stack = await makeStackFor(name, build)));
    after(async () => removeStackFor(stack, build));

    it("up makes what is missing and takes back what nobody wrote down, so that nothing is there twice", async (t) => {
      assert.equal(stack.resources.length, 18);
      const known = stack.resources.filter((one) => /:(Repository|AccessKey) /.test(one));
      const points = [...stack.resources.map((one) => `made ${one}`), ...known.map((one) => `recorded ${one}`)];
      const { code, stderr, died, milliseconds } = await stack.run("up", { points, oneByOne: true });
      assert.equal(code, 0, stderr);
      assert.deepEqual([...died].sort(), [...points].sort());
      await assertWhole(stack, name, build);
      const held = `${String(died.length)} times killed; one user, key and policy version, nothing made twice`;
      t.diagnostic(`outcome: up killed at every resource | ${held} | right again after ${String(milliseconds)} ms`);
    });

    it("down goes on where it was killed, and nothing is left", async (t) => {
      const points = stack.resources.map((one) => `deleted ${one}`);
      const { code, stderr, died, milliseconds } = await stack.run("destroy", { points });
      assert.equal(code, 0, stderr);
      assert.deepEqual([...died].sort(), [...points].sort());
      await stack.proveNothingIsLeft();
      const held = `${String(died.length)} times killed; what was gone was no error`;
      t.diagnostic(`outcome: down killed at every resource | ${held} | right again after ${String(milliseconds)} ms`);
    });
  });

  describe("changed behind its back", { concurrency: 1 }, () => {
    const name = `fs-${randomBytes(3).toString("hex")}`;
    const build = `build-${name}`;
    let stack: InterruptedStack;
    const rotated = { settings: ["accessKeyGeneration=2"] };

    before(async () => {
      await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: build } } });
      stack = await makeStack(name, build);
    });

    after(async () => {
      await stack.run("destroy");
      await stack.forget();
      await kube({ method: "DELETE", path: `/api/v1/namespaces/${build}` });
    });

    const deleteObject = async (path: string): Promise<void> =>
      void (await orUndefined(kube({ method: "DELETE", path })));

    const deleteKeys = async (): Promise<void> => {
      const keys = await keysOf(name);
      const calls = keys.map((AccessKeyId) => new DeleteAccessKeyCommand({ UserName: name, AccessKeyId }));
      await Promise.all(calls.map(async (call) => iam.send(call)));
    };

    /** Deletes by hand all that the stack made, so far as it is there, in the order that AWS wants. */
    const deleteEverything = async (): Promise<void> => {
      const namespace = `/api/v1/namespaces/${name}`;
      await deleteObject(namespace);
      for (const path of [`clusterroles`, `namespaces/${build}/roles`, `namespaces/${build}/rolebindings`]) {
        await deleteObject(`${rbac}/${path}/ecr-helper-${name}`);
      }
      await ecr.send(new DeleteRepositoryCommand({ repositoryName: name, force: true }));
      await deleteKeys();
      await iam.send(new DetachUserPolicyCommand({ UserName: name, PolicyArn: arnOf(name) }));
      await iam.send(new DeletePolicyCommand({ PolicyArn: arnOf(name) }));
      await iam.send(new DeleteUserCommand({ UserName: name }));
      await waitUntilGone(options, `/api/v1/namespaces?fieldSelector=metadata.name%3D${name}`, 60_000);
    };

    it("up comes up although it is killed with much under way", async (t) => {
      const points = stack.resources.filter((one) => /:(Repository|User|Namespace) /.test(one));
      const { code, stderr, died, milliseconds } = await stack.run("up", {
        points: points.map((one) => `recorded ${one}`),
      });
      assert.equal(code, 0, stderr);
      assert.ok(died.length > 0);
      await assertWhole(stack, name, build);
      const held = `${String(died.length)} times killed; nothing made twice`;
      t.diagnostic(`outcome: up killed with much under way | ${held} | right again after ${String(milliseconds)} ms`);
    });

    it("a rotation of the key goes on where it was killed; at every moment there is a login that is taken", async (t) => {
      const changed = ["Secret ecr-helper", "Deployment ecr-helper"].map((end) =>
        String(stack.resources.find((one) => one.endsWith(`:${end}`))),
      );
      const key = "aws:iam/accessKey:AccessKey ecr-helper";
      const points = [...[`${key}-2`, ...changed].map((one) => `made ${one}`), `deleted ${key}-1`];
      const ended = stack.run("up", { ...rotated, points });
      const taken: boolean[] = [];
      const looks = setInterval(() => void hasGoodLogin(build).then((one) => taken.push(one)), 50);
      await ended.finally(() => clearInterval(looks));
      const { code, stderr, died, milliseconds } = await ended;
      assert.equal(code, 0, stderr);
      assert.deepEqual(died, points);
      assert.ok(taken.length > 20 && !taken.includes(false));
      await assertWhole(stack, name, build, rotated);
      const held = `${String(died.length)} times killed; 0 of ${String(taken.length)} looks without a login; one key`;
      t.diagnostic(`outcome: rotation killed at every change | ${held} | right again after ${String(milliseconds)} ms`);
    });

    it("up makes again, and nothing else, the single things that were deleted", async (t) => {
      await deleteKeys();
      await ecr.send(new DeleteLifecyclePolicyCommand({ repositoryName: name }));
      await deleteObject(`/api/v1/namespaces/${name}/secrets/ecr-helper`);
      await deleteObject(`/apis/apps/v1/namespaces/${name}/deployments/ecr-helper`);
      await deleteObject(`${rbac}/namespaces/${build}/rolebindings/ecr-helper-${name}`);
      assert.ok(await hasGoodLogin(build), "the login goes on without all these");
      const ended = await stack.run("up", rotated);
      assert.equal(ended.code, 0, ended.stderr);
      assert.deepEqual(changesOf(ended).sort(), [
        "created AccessKey ecr-helper-2",
        "created Deployment ecr-helper",
        "created LifecyclePolicy ecr-helper",
        `created RoleBinding ecr-helper-${build}`,
        "created Secret ecr-helper",
      ]);
      await assertWhole(stack, name, build, rotated);
      const again = `right again after ${String(ended.milliseconds)} ms`;
      t.diagnostic(`outcome: key, secret, Deployment, RoleBinding deleted by hand | the login is taken | ${again}`);
    });

    it("up makes everything again where everything was deleted", async (t) => {
      await deleteEverything();
      const ended = await stack.run("up", rotated);
      assert.equal(ended.code, 0, ended.stderr);
      const changes = changesOf(ended).filter((change) => change.startsWith("created"));
      assert.equal(changes.length, stack.resources.length, ended.stderr);
      await assertWhole(stack, name, build, rotated);
      const again = `right again after ${String(ended.milliseconds)} ms`;
      t.diagnostic(`outcome: everything deleted by hand | up says what it made again | ${again}`);
    });

    it("down works where everything was deleted", async (t) => {
      await deleteEverything();
      const { code, stderr, milliseconds } = await stack.run("destroy");
      assert.equal(code, 0, stderr);
      await stack.proveNothingIsLeft();
      const again = `right again after ${String(milliseconds)} ms`;
      t.diagnostic(`outcome: down of what was deleted by hand | what is gone is no error | ${again}`);
    });
  });
});
