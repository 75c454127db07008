// The parts of a stack that a helper needs, created without its image and its pod: the identity and the rights, exactly as the
// program declares them, for helpers that run as processes of the test.
import { randomBytes } from "node:crypto";
import { AttachUserPolicyCommand, DetachUserPolicyCommand } from "@aws-sdk/client-iam";
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import type { Kube } from "../../helper/kube/types.ts";
import { isPattern } from "../../helper/shared/namespace-rules.ts";
import { HelperProcess, type Cluster } from "./helper-process.ts";
import { recordSecrets } from "../local/audit-log.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { aws, kubeconfig as cloudKubeconfig } from "../local/settings.ts";
import { awsSession } from "../local/pulumi/aws/session.ts";
import type { Properties } from "../local/pulumi/values.ts";
import { accountPath, secretPath, type Secret, type ServiceAccount } from "./kept-objects.ts";
import { createResources, isPolicy, type CreatedResource } from "./live-resources.ts";
import { runProgram, type Program } from "./program.ts";
import { waitForPolicy } from "./policy-enforcement.ts";
import { TestNamespaces } from "./test-namespaces.ts";

// The SDK's clients of this process are the emulator's root; the helper's process gets the user's key.
Object.assign(process.env, aws);

interface Deployment {
  metadata: { name: string };
  spec: { replicas: number; template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } };
}

/** The parts of one stack, and the helpers that run with them. A test has to call `remove` or `removeFromAws`. */
export interface Parts {
  /** The cluster's API, as its administrator. */
  readonly admin: Kube;
  readonly options: KubeOptions;
  /** The API server and the token of the helper's own service account. */
  readonly cluster: Cluster;
  /** The environment of a helper with this identity. */
  readonly env: Record<string, string>;
  /** The name of the first of the ClusterRoles that own the helper's objects. */
  readonly owner: string;
  /** The stack's outputs. */
  readonly outputs: Program["outputs"];
  /** Attaches the policy to the helper's user, or detaches it. */
  readonly attach: (attached: boolean) => Promise<void>;
  /** Deletes what `pulumi destroy` deletes before the helper ends: the stack's marker, then the Deployment. */
  endStack(): Promise<void>;
  /** Creates a namespace, which `remove` deletes. */
  namespace(name: string, labels?: Record<string, string>): Promise<void>;
  /** Starts a helper, which `remove` stops. */
  run(env?: Readonly<Record<string, string>>, cluster?: Cluster): HelperProcess;
  /** Reads a secret; the basic-auth secret by default. */
  secret(namespace: string, name?: string): Promise<Secret>;
  /** Reads the service account for builds. */
  account(namespace: string): Promise<ServiceAccount>;
  /** Stops the helpers, and deletes everything in AWS and in the cluster. */
  remove(): Promise<void>;
  /** Stops the helpers, and deletes what is in AWS alone: for a cluster that is thrown away. */
  removeFromAws(): Promise<void>;
}

/** Options of `makeParts`. */
export interface PartsOptions {
  /** Build namespaces that are not created. */
  readonly absent?: readonly string[];
  /** The path of the cluster's kubeconfig; the local cloud's by default. */
  readonly kubeconfig?: string;
  /** Node's arguments that run a helper; helper-main.ts by default. */
  readonly command?: readonly string[];
  /** Further keys of the stack's configuration. */
  readonly config?: Readonly<Record<string, string>>;
}

let lastProgram: Promise<unknown> = Promise.resolve();

/** Runs one program after the other: Pulumi's mocks belong to the whole process. */
async function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
  const result = lastProgram.then(work);
  lastProgram = result.catch(() => undefined);
  return result;
}

/** Creates the parts of a stack with these build namespaces, which are created too unless they are patterns or absent. */
export async function makeParts(buildNamespaces: readonly string[], options: PartsOptions = {}): Promise<Parts> {
  const id = randomBytes(3).toString("hex");
  const name = `it-${id}`;
  const kubeconfig = options.kubeconfig ?? cloudKubeconfig;
  const kubeOptions = readKubeconfig(kubeconfig);
  const admin = createKubeClient(kubeOptions);
  const namespaces = new TestNamespaces(admin);
  const absent = buildNamespaces.filter((one) => isPattern(one) || options.absent?.includes(one) === true);
  for (const one of buildNamespaces.filter((each) => !absent.includes(each))) await namespaces.create(one);

  const names = { namespace: name, userName: name, policyName: name, roleName: name };
  const config: Record<string, string> = {
    kubeconfig,
    ...names,
    buildNamespaces: JSON.stringify(buildNamespaces),
    ...options.config,
  };
  const program = await oneAtATime(async () => runProgram(config, { stack: id, region: aws.AWS_REGION }));
  const created = await createResources(program, absent, admin);
  const owner = outputsOf(created, "ClusterRole", "ecr-helper")["metadata"] as { name: string };
  const deployment = await createDeployment(admin, program, name);
  const cluster = { server: kubeOptions.server, ca: kubeOptions.ca(), token: await createToken(admin, name) };
  if (created.some(isPolicy)) {
    await waitForPolicy(cluster, name, config["pullSecret"] ?? "ecr-creds-pull");
  }
  const key = outputsOf(created, "AccessKey");
  const env = {
    ...environmentOf(deployment),
    AWS_ENDPOINT_URL: aws.AWS_ENDPOINT_URL,
    AWS_ACCESS_KEY_ID: String(key["id"]),
    AWS_SECRET_ACCESS_KEY: String(key["secret"]),
    ECR_HELPER_NAMESPACE: name,
    ECR_HELPER_POD: `ecr-helper-${id}`,
    ECR_HELPER_TEMPLATE: id,
    ECR_HELPER_PORT: "0",
  };
  const common = { admin, options: kubeOptions, cluster, env, owner: owner.name, outputs: program.outputs };
  return partsOf(common, name, created, namespaces, options.command);
}

type Common = Pick<Parts, "admin" | "options" | "cluster" | "env" | "owner" | "outputs">;

/** The parts with all that can be done to them; `name` is that of the helper's own namespace. */
function partsOf(
  common: Common,
  name: string,
  created: CreatedResource[],
  namespaces: TestNamespaces,
  command: readonly string[] | undefined,
): Parts {
  const { admin, cluster, env, owner } = common;
  const helpers: HelperProcess[] = [];
  const removeCreated = async (types: RegExp): Promise<void> => {
    await Promise.all(helpers.map(async (helper) => helper.stop()));
    for (const { remove, type } of created.reverse()) if (types.test(type)) await remove();
  };
  return {
    ...common,
    attach: async (attached) => setAttached(outputsOf(created, "UserPolicyAttachment"), attached),
    endStack: async () => {
      const marker = `${owner}-stack`;
      await admin({ method: "DELETE", path: `/apis/rbac.authorization.k8s.io/v1/clusterroles/${marker}` });
      await admin({ method: "DELETE", path: `/apis/apps/v1/namespaces/${name}/deployments/ecr-helper` });
    },
    namespace: async (one, labels) => namespaces.create(one, labels),
    run: (further = {}, from = cluster) => {
      const helper = new HelperProcess(from, { ...env, ...further }, command);
      helpers.push(helper);
      return helper;
    },
    secret: async (one, secret = "ecr-creds") => admin({ method: "GET", path: secretPath(one, secret) }),
    account: async (one) => admin({ method: "GET", path: accountPath(one) }),
    remove: async () => {
      await removeCreated(/^(?!kubernetes:core\/v1:Namespace$)/);
      await namespaces.remove(name);
    },
    removeFromAws: async () => removeCreated(/^aws:/),
  };
}

function outputsOf(created: readonly CreatedResource[], type: string, name?: string): Properties {
  const found = created.find((one) => one.type.endsWith(`:${type}`) && (name ?? one.name) === one.name);
  if (found === undefined) throw new Error(`the program has no ${type}`);
  return found.outputs;
}

/** Creates the Deployment without a pod: the helper only checks that it exists, and what the next helper will be given. */
async function createDeployment(admin: Kube, program: Program, namespace: string): Promise<Deployment> {
  const deployment = program.find("kubernetes:apps/v1:Deployment").inputs as unknown as Deployment;
  const body = { ...deployment, spec: { ...deployment.spec, replicas: 0 } };
  await admin({ method: "POST", path: `/apis/apps/v1/namespaces/${namespace}/deployments`, body });
  return deployment;
}

async function setAttached({ user, policyArn }: Properties, attached: boolean): Promise<void> {
  const target = { UserName: String(user), PolicyArn: String(policyArn) };
  const { iam } = awsSession();
  if (attached) await iam.send(new AttachUserPolicyCommand(target));
  else await iam.send(new DetachUserPolicyCommand(target));
}

async function createToken(admin: Kube, namespace: string): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/ecr-helper/token`;
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3600 } };
  const { token } = (await admin<{ status: { token: string } }>({ method: "POST", path, body })).status;
  recordSecrets([token]);
  return token;
}

const environmentOf = ({ spec }: Deployment): Record<string, string> =>
  Object.fromEntries(
    spec.template.spec.containers.flatMap(({ env }) => env.map(({ name, value }) => [name, value ?? ""])),
  );
