// Reads a stack's resources from AWS and the cluster themselves, not from Pulumi's state.
import assert from "node:assert/strict";
import { IAMClient, ListAccessKeysCommand, ListPolicyVersionsCommand } from "@aws-sdk/client-iam";
import { createKubeClient } from "../../helper/kube/client.ts";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { ownerNames } from "../../helper/shared/ownership.ts";
import { noChanges } from "../support/commands.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { account, aws, kubeconfig, ports, url } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { isLoginAccepted } from "../support/registry-login.ts";
import { ProxiedStack } from "./proxied-stack.ts";

interface Secret {
  metadata: { ownerReferences?: { uid: string }[] };
  data: Record<string, string>;
}

Object.assign(process.env, aws);
/** IAM of the local cloud, as the account's root. */
export const iam = new IAMClient();
/** The local cluster, as its administrator. */
export const options = readKubeconfig(kubeconfig);
/** The local cluster's API, as its administrator. */
export const kube = createKubeClient(options);
/** The path of the RBAC API. */
export const rbac = "/apis/rbac.authorization.k8s.io/v1";

const decode = (text = ""): string => Buffer.from(text, "base64").toString();

/** The ARN of a policy of the local account. */
export const policyArn = (policy: string): string => `arn:aws:iam::${account}:policy/${policy}`;

/** The ids of a user's access keys. */
export const accessKeyIds = async (UserName: string): Promise<string[]> => {
  const { AccessKeyMetadata = [] } = await iam.send(new ListAccessKeysCommand({ UserName }));
  return AccessKeyMetadata.map(({ AccessKeyId }) => String(AccessKeyId));
};

const secret = async (namespace: string, name: string): Promise<Secret> =>
  kube({ method: "GET", path: `/api/v1/namespaces/${namespace}/secrets/${name}` });

/** The id of the access key in the helper's secret; undefined if there is no secret yet. */
export async function accessKeyIdInUse(stack: string): Promise<string | undefined> {
  const found = await undefinedIfNotFound(secret(stack, "ecr-helper"));
  return found && decode(found.data["aws_access_key_id"]);
}

/** Whether the registry accepts a build namespace's login. */
export const hasAcceptedLogin = async (build: string): Promise<boolean> =>
  isLoginAccepted(ports.registry, decode((await secret(build, "ecr-creds")).data["password"]));

/** The tags of the images in a repository, read from the emulator, past the registry's authorization. */
export async function imageTags(repository: string): Promise<readonly string[]> {
  const answer = await fetch(`${url(ports.emulator)}/v2/${repository}/tags/list`);
  return ((await answer.json()) as { tags?: string[] }).tags ?? [];
}

/** Creates a build namespace, and a stack for it alone. `settings` are KEY=VALUE. */
export async function createStackAndNamespace(
  name: string,
  build: string,
  ...settings: readonly string[]
): Promise<ProxiedStack> {
  await makeNamespace(build);
  return ProxiedStack.make(name, [`buildNamespaces=["${build}"]`, ...settings]);
}

/** Destroys the stack and deletes its build namespace. */
export async function removeStackAndNamespace(stack: ProxiedStack, build: string): Promise<void> {
  await stack.end();
  await deleteObject(`/api/v1/namespaces/${build}`);
}

/** Creates a namespace. */
export const makeNamespace = async (name: string): Promise<void> =>
  void (await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name } } }));

/** Deletes the object at a path of the API, if it exists. */
export const deleteObject = async (path: string): Promise<void> =>
  void (await undefinedIfNotFound(kube({ method: "DELETE", path })));

/**
 * Asserts that a stack is complete: another `up` changes nothing, nothing is pending, the user's only access key is the one in
 * the helper's secret, the policy has one version, and the registry accepts the build namespace's login.
 */
export async function assertConverged(stack: ProxiedStack, build: string): Promise<void> {
  const { name } = stack;
  const again = await stack.up();
  assert.equal(again.code, 0, again.output);
  assert.match(again.output, noChanges, `the next up changes nothing: ${again.output}`);
  assert.deepEqual(await stack.pendingOperations(), []);
  assert.deepEqual(await accessKeyIds(name), [await accessKeyIdInUse(name)]);
  const { Versions } = await iam.send(new ListPolicyVersionsCommand({ PolicyArn: policyArn(name) }));
  assert.equal(Versions?.length, 1);
  // If an owner was made again, the helper gives it to its secrets a moment later.
  const uidOf = async (role: string): Promise<string> =>
    (await kube<{ metadata: { uid: string } }>({ method: "GET", path: `${rbac}/clusterroles/${role}` })).metadata.uid;
  const owners = await Promise.all(ownerNames({ owner: `ecr-helper-${name}` }).map(uidOf));
  const isOwned = ({ metadata: { ownerReferences = [] } }: Secret): boolean =>
    owners.every((owner) => ownerReferences.some(({ uid }) => uid === owner));
  const secrets = `/api/v1/namespaces/${build}/secrets?fieldSelector=metadata.name%3Decr-creds`;
  await waitForObject<Secret>(options, secrets, isOwned, 30_000);
  assert.ok(await hasAcceptedLogin(build));
}
