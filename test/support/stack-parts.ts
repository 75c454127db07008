// Parts of the stack carried out live without its image and pod: the identity and the rights of a helper, exactly as the
// program gives them, for helpers that run as processes of the test.
import { randomBytes } from "node:crypto";
import { AttachUserPolicyCommand, DetachUserPolicyCommand } from "@aws-sdk/client-iam";
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import type { Kube } from "../../helper/kube/types.ts";
import { isPattern } from "../../helper/shared/namespace-rules.ts";
import { HelperProcess, type Cluster } from "./helper-process.ts";
import { rememberSecrets } from "../local/audit-log.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { aws, kubeconfig as cloudKubeconfig } from "../local/settings.ts";
import { awsSession } from "../local/pulumi/aws/session.ts";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import type { Live, ResourceType } from "../local/pulumi/resource-type.ts";
import { plainProperties, type Properties } from "../local/pulumi/values.ts";
import { mockedUid, runProgram, type Program } from "./program.ts";
import { waitForPolicy } from "./policy-enforcement.ts";

// The SDK's clients of this process are the emulator's root; the helper's process gets the user's key.
Object.assign(process.env, aws);

export interface Secret {
  metadata: {
    uid: string;
    namespace: string;
    resourceVersion: string;
    annotations: Record<string, string>;
    ownerReferences?: object[];
  };
  type: string;
  data: Record<string, string>;
}

export interface ServiceAccount {
  metadata: { resourceVersion: string; labels?: Record<string, string>; ownerReferences?: object[] };
  secrets?: { name: string }[];
  imagePullSecrets?: { name: string }[];
}

interface Deployment {
  metadata: { name: string };
  spec: { replicas: number; template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } };
}

export interface Parts {
  /** The cluster as its administrator sees it. */
  readonly admin: Kube;
  readonly options: KubeOptions;
  /** The helper's own service account. */
  readonly cluster: Cluster;
  /** The environment of a helper with this identity. */
  readonly env: Record<string, string>;
  readonly owner: string;
  /** Attaches the policy to the helper's user, or detaches it. */
  readonly attach: (attached: boolean) => Promise<void>;
  /** Deletes what `pulumi destroy` deletes first, before the helper ends: the stack's marker, then the Deployment. */
  endStack(): Promise<void>;
  namespace(name: string, labels?: Record<string, string>): Promise<void>;
  /** Starts a helper; it is stopped by `remove` at the latest. */
  run(env?: Readonly<Record<string, string>>, cluster?: Cluster): HelperProcess;
  secret(namespace: string, name?: string): Promise<Secret>;
  account(namespace: string): Promise<ServiceAccount>;
  /** Takes everything down: the helpers, what was made in AWS and in the cluster. */
  remove(): Promise<void>;
  /** The same, but leaves a cluster as it is that is thrown away. */
  removeFromAws(): Promise<void>;
}

export interface PartsOptions {
  /** Build namespaces that are not created. */
  readonly absent?: readonly string[];
  /** Which cluster, as a kubeconfig's path; the local cloud's by default. */
  readonly kubeconfig?: string;
  /** What Node is given to run a helper; helper-main.ts by default. */
  readonly command?: readonly string[];
  /** Further keys of the stack's configuration. */
  readonly config?: Readonly<Record<string, string>>;
}

export const secretPath = (namespace: string, name: string): string =>
  `/api/v1/namespaces/${namespace}/secrets/${name}`;
export const accountPath = (namespace: string): string => `/api/v1/namespaces/${namespace}/serviceaccounts/builder-sa`;
export const decode = (text = ""): string => Buffer.from(text, "base64").toString();

/** What opens each registry of a docker config, by its host: ECR's user is always AWS. */
export function pullPasswords({ data }: Pick<Secret, "data">): Record<string, string> {
  const { auths } = JSON.parse(decode(data[".dockerconfigjson"])) as { auths: Record<string, { auth: string }> };
  return Object.fromEntries(Object.entries(auths).map(([host, { auth }]) => [host, decode(auth).replace(/^AWS:/, "")]));
}

const wanted = /^(aws:iam\/.*|kubernetes:(core\/v1:(Namespace|ServiceAccount)|rbac\..*|admissionregistration\..*))$/;

let turn: Promise<unknown> = Promise.resolve();

/** Pulumi's mocks are those of the whole process: one program runs after the other. */
async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = turn.then(work);
  turn = mine.catch(() => undefined);
  return mine;
}

/** Makes them for the given build namespaces, which are created unless they are patterns or absent. */
export async function makeParts(buildNamespaces: readonly string[], options: PartsOptions = {}): Promise<Parts> {
  const id = randomBytes(3).toString("hex");
  const name = `it-${id}`;
  const kubeconfig = options.kubeconfig ?? cloudKubeconfig;
  const kubeOptions = readKubeconfig(kubeconfig);
  const admin = createKubeClient(kubeOptions);
  const created: string[] = [];
  const helpers: HelperProcess[] = [];
  const namespace = async (one: string, labels = {}): Promise<void> => {
    await admin({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: one, labels } } });
    created.push(one);
  };
  const absent = buildNamespaces.filter((one) => isPattern(one) || options.absent?.includes(one) === true);
  for (const one of buildNamespaces.filter((each) => !absent.includes(each))) await namespace(one);

  const names = { namespace: name, userName: name, policyName: name, roleName: name };
  const config: Record<string, string> = {
    kubeconfig,
    ...names,
    buildNamespaces: JSON.stringify(buildNamespaces),
    ...options.config,
  };
  const program = await inTurn(async () => runProgram(config, { stack: id, region: aws.AWS_REGION }));
  const made = await carryOut(program, absent, admin);
  const removeMade = async (types: RegExp): Promise<void> => {
    await Promise.all(helpers.map(async (helper) => helper.stop()));
    for (const { remove, type } of made.reverse()) if (types.test(type)) await remove();
  };
  const find = (type: string, resource?: string): Properties => {
    const found = made.find((one) => one.type.endsWith(`:${type}`) && (resource ?? one.name) === one.name);
    if (found === undefined) throw new Error(`the program has no ${type}`);
    return found.outputs;
  };
  const owner = find("ClusterRole", "ecr-helper")["metadata"] as { name: string; uid: string };
  const deployment = withUid(program.find("kubernetes:apps/v1:Deployment").inputs, owner.uid) as unknown as Deployment;
  // Without a pod: the helper only asks whether its Deployment is there, and what the next one will be given.
  const body = { ...deployment, spec: { ...deployment.spec, replicas: 0 } };
  await admin({ method: "POST", path: `/apis/apps/v1/namespaces/${name}/deployments`, body });
  const token = await tokenOf(admin, name);
  const cluster = { server: kubeOptions.server, ca: kubeOptions.ca, token };
  if (made.some(isPolicy)) {
    await waitForPolicy(cluster, name, config["pullSecret"] ?? "ecr-creds-pull");
  }
  const env = {
    ...environmentOf(deployment),
    AWS_ENDPOINT_URL: aws.AWS_ENDPOINT_URL,
    AWS_ACCESS_KEY_ID: String(find("AccessKey")["id"]),
    AWS_SECRET_ACCESS_KEY: String(find("AccessKey")["secret"]),
    ECR_HELPER_NAMESPACE: name,
    ECR_HELPER_POD: `ecr-helper-${id}`,
    ECR_HELPER_PORT: "0",
  };
  return {
    admin,
    options: kubeOptions,
    cluster,
    env,
    owner: owner.name,
    attach: async (attached) => {
      const { user, policyArn } = find("UserPolicyAttachment");
      const to = { UserName: String(user), PolicyArn: String(policyArn) };
      const { iam } = awsSession();
      if (attached) await iam.send(new AttachUserPolicyCommand(to));
      else await iam.send(new DetachUserPolicyCommand(to));
    },
    endStack: async () => {
      const marker = `${owner.name}-stack`;
      await admin({ method: "DELETE", path: `/apis/rbac.authorization.k8s.io/v1/clusterroles/${marker}` });
      await admin({ method: "DELETE", path: `/apis/apps/v1/namespaces/${name}/deployments/ecr-helper` });
    },
    namespace,
    run: (further = {}, from = cluster) => {
      const helper = new HelperProcess(from, { ...env, ...further }, options.command);
      helpers.push(helper);
      return helper;
    },
    secret: async (one, secret = "ecr-creds") => admin({ method: "GET", path: secretPath(one, secret) }),
    account: async (one) => admin({ method: "GET", path: accountPath(one) }),
    remove: async () => {
      await removeMade(/^(?!kubernetes:core\/v1:Namespace$)/);
      // Namespaces take seconds to end, and nobody has to wait for them.
      for (const one of [...created, name])
        await undefinedIfNotFound(admin({ method: "DELETE", path: `/api/v1/namespaces/${one}` }));
    },
    removeFromAws: async () => removeMade(/^aws:/),
  };
}

interface Made {
  readonly type: string;
  readonly name: string;
  /** With its id in AWS. */
  readonly outputs: Properties;
  readonly remove: () => Promise<unknown>;
}

const isPolicy = ({ type }: Pick<Made, "type">): boolean => type.includes(":admissionregistration.");

/** What the program was given for a uid that was not known before, by the real one. */
const withUid = (inputs: Properties, uid: string): Properties =>
  JSON.parse(JSON.stringify(inputs).replaceAll(mockedUid, uid)) as Properties;

async function carryOut({ resources }: Program, absent: readonly string[], admin: Kube): Promise<Made[]> {
  const made: Made[] = [];
  let uid = "";
  const all = resources.filter((one) => wanted.test(one.type));
  // The policy for secrets is the last: where that one is in force the other one is, too.
  const policies = all.filter(isPolicy).sort((a, b) => b.name.localeCompare(a.name) || a.type.localeCompare(b.type));
  for (const { type, name, inputs } of [...all.filter((one) => !isPolicy(one)), ...policies]) {
    const target = (inputs["metadata"] as { namespace?: string } | undefined)?.namespace ?? "";
    if (absent.includes(target)) continue;
    const carried = type.startsWith("aws:")
      ? await makeInAws(type, inputs)
      : await makeInCluster(admin, withUid(inputs, uid));
    made.push({ type, name, ...carried });
    if (type.endsWith(":ClusterRole") && name === "ecr-helper") {
      ({ uid } = carried.outputs["metadata"] as { uid: string });
    }
  }
  return made;
}

type Carried = Pick<Made, "outputs" | "remove">;

async function makeInAws(type: string, inputs: Properties): Promise<Carried> {
  const [session, types] = [
    awsSession(),
    awsTypes as Readonly<Record<string, ResourceType<ReturnType<typeof awsSession>>>>,
  ];
  const handler = types[type];
  if (handler === undefined) throw new Error(`the AWS plugin has no ${type}`);
  const { id, outputs }: Live = await handler.create(inputs, session);
  return {
    outputs: { ...plainProperties(outputs), id },
    remove: async () => handler.delete(id, outputs, session),
  };
}

/** Under its field manager, as Pulumi's provider makes it. */
async function makeInCluster(admin: Kube, body: Properties): Promise<Carried> {
  const { apiVersion, kind, metadata } = body as { apiVersion: string; kind: string; metadata: Record<string, string> };
  const group = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = metadata["namespace"] === undefined ? "" : `/namespaces/${metadata["namespace"]}`;
  const path = `${group}${scope}/${`${kind.toLowerCase()}s`.replace(/ys$/, "ies")}`;
  const outputs = await admin<Properties>({ method: "POST", path: `${path}?fieldManager=pulumi-kubernetes`, body });
  return {
    outputs,
    remove: async () => undefinedIfNotFound(admin({ method: "DELETE", path: `${path}/${String(metadata["name"])}` })),
  };
}

async function tokenOf(admin: Kube, namespace: string): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/ecr-helper/token`;
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3600 } };
  const { token } = (await admin<{ status: { token: string } }>({ method: "POST", path, body })).status;
  rememberSecrets([token]);
  return token;
}

const environmentOf = ({ spec }: Deployment): Record<string, string> =>
  Object.fromEntries(
    spec.template.spec.containers.flatMap(({ env }) => env.map(({ name, value }) => [name, value ?? ""])),
  );
