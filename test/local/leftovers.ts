// Proof that a destroyed stack left nothing: not in AWS, not in the registry, not in the cluster.
import { DescribeRepositoriesCommand, ECRClient } from "@aws-sdk/client-ecr";
import { GetUserCommand, IAMClient, ListPoliciesCommand } from "@aws-sdk/client-iam";
import type { KubeOptions } from "../../helper/kube.ts";
import { connect, orUndefined } from "../../helper/kube.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { kubeconfig, ports, url } from "./machine.ts";
import { LocalCloudError } from "./process.ts";
import type { Stack } from "./stack.ts";
import { waitUntilGone } from "./watch.ts";

/** Kubernetes collects what the helper made in its own time, a second or so after its owner went. */
const collectionTimeout = 60_000;

/** Fails with the list of everything that a stack left. */
export async function proveNothingIsLeft({ name, config }: Stack): Promise<void> {
  const setting = (key: string): string => config[`ecr-helper:${key}`] ?? "";
  const options = readKubeconfig(kubeconfig);
  const checks: Record<string, Promise<boolean>> = {
    [`ECR repository ${setting("repositoryName")}`]: hasRepository(setting("repositoryName")),
    [`registry content of ${setting("repositoryName")}`]: hasContent(setting("repositoryName")),
    [`IAM user ${setting("userName")}`]: hasUser(setting("userName")),
    [`IAM policy ${setting("policyName")}`]: hasPolicy(setting("policyName")),
    [`ClusterRole ecr-helper-${name}`]: hasObject(
      options,
      `/apis/rbac.authorization.k8s.io/v1/clusterroles/ecr-helper-${name}`,
    ),
    "objects in build namespaces": hasHelpersObjects(options, `ecr-helper-${name}`),
  };
  if (setting("createNamespace") === "true") {
    checks[`namespace ${setting("namespace")}`] = hasObject(options, `/api/v1/namespaces/${setting("namespace")}`);
  }
  const left: string[] = [];
  for (const [what, found] of Object.entries(checks)) if (await found) left.push(what);
  if (left.length > 0) throw new LocalCloudError(`The destroyed stack ${name} left: ${left.join(", ")}.`);
}

const missing = (error: unknown): false => {
  if (error instanceof Error && /NoSuchEntity|NotFound/.test(error.name)) return false;
  throw error;
};

const hasRepository = async (name: string): Promise<boolean> =>
  new ECRClient().send(new DescribeRepositoriesCommand({ repositoryNames: [name] })).then(() => true, missing);

/** Asks the emulator behind the front: a repository that is gone has no registry content, whoever asks. */
const hasContent = async (name: string): Promise<boolean> =>
  (await fetch(`${url(ports.emulator)}/v2/${name}/tags/list`)).ok;

const hasUser = async (UserName: string): Promise<boolean> =>
  new IAMClient().send(new GetUserCommand({ UserName })).then(() => true, missing);

async function hasPolicy(name: string): Promise<boolean> {
  const { Policies = [] } = await new IAMClient().send(new ListPoliciesCommand({ Scope: "Local" }));
  return Policies.some(({ PolicyName }) => PolicyName === name);
}

const hasObject = async (options: KubeOptions, path: string): Promise<boolean> =>
  (await orUndefined(connect(options)({ method: "GET", path }))) !== undefined;

async function hasHelpersObjects(options: KubeOptions, instance: string): Promise<boolean> {
  const selector = encodeURIComponent(`app.kubernetes.io/managed-by=ecr-helper,app.kubernetes.io/instance=${instance}`);
  const paths = ["secrets", "serviceaccounts"].map((plural) => `/api/v1/${plural}?labelSelector=${selector}`);
  return Promise.all(paths.map(async (path) => waitUntilGone(options, path, collectionTimeout))).then(
    () => false,
    () => true,
  );
}
