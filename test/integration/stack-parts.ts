// Parts of the stack carried out live without its image and Deployment: the identity and the rights of a helper, exactly
// as the program gives them, for a helper that runs as a process of the test.
import { randomBytes } from "node:crypto";
import { connect, orUndefined, type Kube, type KubeOptions } from "../../helper/kube.ts";
import { isPattern } from "../../helper/targets.ts";
import { awsHandlers } from "../local/engine/aws.ts";
import { accessKey } from "../local/engine/aws-iam.ts";
import type { Handler, Live } from "../local/engine/handler.ts";
import { kubernetesHandler } from "../local/engine/kubernetes.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { aws, kubeconfig } from "../local/machine.ts";
import { runProgram } from "../program.ts";

// The SDK's clients of this process are the emulator's root; the helper's process gets the user's key.
Object.assign(process.env, aws);

interface Deployment {
  spec: { template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } };
}

export interface Parts {
  /** The cluster as its administrator sees it. */
  readonly admin: Kube;
  readonly options: KubeOptions;
  /** The helper's own service account. */
  readonly cluster: { server: string; ca: string; token: string };
  /** The environment of a helper with this identity. */
  readonly env: Record<string, string>;
  readonly owner: string;
  readonly policy: Live;
  readonly attachment: Live;
  namespace(name: string, labels?: Record<string, string>): Promise<void>;
  remove(): Promise<void>;
}

const wanted = /^(aws:iam\/.*|kubernetes:(core\/v1:(Namespace|ServiceAccount)|rbac\..*))$/;

export interface PartsOptions {
  /** Build namespaces that are not created. */
  readonly absent?: readonly string[];
  /** Further keys of the stack's configuration. */
  readonly config?: Readonly<Record<string, string>>;
}

/** Makes them for the given build namespaces, which are created unless they are patterns or absent. */
export async function makeParts(
  buildNamespaces: readonly string[],
  { absent = [], config: further = {} }: PartsOptions = {},
): Promise<Parts> {
  const id = randomBytes(3).toString("hex");
  const name = `it-${id}`;
  const options = readKubeconfig(kubeconfig);
  const admin = connect(options);
  const namespace = async (one: string, labels = {}): Promise<void> => {
    await admin({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: one, labels } } });
    created.push(one);
  };
  const created: string[] = [];
  for (const one of buildNamespaces.filter((each) => !absent.includes(each) && !isPattern(each))) await namespace(one);

  const config = {
    kubeconfig,
    namespace: name,
    userName: name,
    policyName: name,
    buildNamespaces: JSON.stringify(buildNamespaces),
    ...further,
  };
  const program = await runProgram(config, { stack: id, region: aws.AWS_REGION });
  const keys: Handler = accessKey(() => []);
  const provider = { kubeconfig };
  const made: { type: string; live: Live; handler: Handler }[] = [];
  for (const { type, inputs } of program.resources.filter((one) => wanted.test(one.type))) {
    const target = (inputs["metadata"] as { namespace?: string } | undefined)?.namespace ?? "";
    if (absent.includes(target)) continue;
    const handler = type.includes("AccessKey") ? keys : (awsHandlers[type] ?? kubernetesHandler);
    made.push({ type, handler, live: { ...(await handler.create(inputs, provider)), inputs, provider } });
  }
  const find = (type: string): Live => {
    const found = made.find((one) => one.type.endsWith(`:${type}`));
    if (found === undefined) throw new Error(`the program has no ${type}`);
    return found.live;
  };
  const path = `/api/v1/namespaces/${name}/serviceaccounts/ecr-helper/token`;
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 3600 } };
  const { status } = await admin<{ status: { token: string } }>({ method: "POST", path, body });
  const key = find("AccessKey");
  const deployment = program.find("kubernetes:apps/v1:Deployment").inputs as unknown as Deployment;
  const [container] = deployment.spec.template.spec.containers;
  const env = Object.fromEntries((container?.env ?? []).map(({ name: key, value }) => [key, value ?? ""]));
  const owner = find("ClusterRole").outputs["metadata"] as { name: string; uid: string };
  return {
    admin,
    options,
    cluster: { server: options.server, ca: options.ca, token: status.token },
    env: {
      ...env,
      AWS_ENDPOINT_URL: aws.AWS_ENDPOINT_URL,
      AWS_ACCESS_KEY_ID: key.id,
      AWS_SECRET_ACCESS_KEY: String(key.outputs["secret"]),
      ECR_HELPER_NAMESPACE: name,
      ECR_HELPER_POD: `ecr-helper-${id}`,
      ECR_HELPER_OWNER_UID: owner.uid,
      ECR_HELPER_PORT: "0",
    },
    owner: owner.name,
    policy: find("Policy"),
    attachment: find("UserPolicyAttachment"),
    namespace,
    remove: async () => {
      for (const { handler, live } of made.reverse()) await handler.remove(live);
      for (const one of created) await orUndefined(admin({ method: "DELETE", path: `/api/v1/namespaces/${one}` }));
    },
  };
}
