// Checks that a destroyed stack left nothing behind in AWS, in the registry and in the cluster.
import { DescribeRepositoriesCommand, ECRClient } from "@aws-sdk/client-ecr";
import { EKSClient, ListPodIdentityAssociationsCommand } from "@aws-sdk/client-eks";
import {
  GetOpenIDConnectProviderCommand,
  GetRoleCommand,
  GetUserCommand,
  IAMClient,
  ListPoliciesCommand,
} from "@aws-sdk/client-iam";
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import { readKubeconfig } from "./kubeconfig.ts";
import { cleanupCommand, hasHelperEntries, type ServiceAccount } from "./leftover-entries.ts";
import { account, cluster, issuer, kubeconfig, ports, url } from "./settings.ts";
import { LocalCloudError } from "./process.ts";
import type { Stack } from "./stack.ts";
import { waitUntilGone } from "./watch.ts";

/** In milliseconds. The garbage collector deletes the helper's objects about a second after their owner is gone. */
const collectionTimeout = 60_000;

const rbac = "/apis/rbac.authorization.k8s.io/v1";

type Check = [what: string, name: string | undefined, isThere: (name: string) => Promise<boolean>];

/**
 * Rejects with LocalCloudError, which lists everything that a destroyed stack left. Resources with a name that one of the `others`
 * has configured, too, belong to that stack and are not checked.
 */
export async function assertCleanedUp({ name, config }: Stack, others: readonly Stack[]): Promise<void> {
  const options = readKubeconfig(kubeconfig);
  const own = (key: string): string | undefined =>
    others.some((other) => other.config[`ecr-helper:${key}`] === config[`ecr-helper:${key}`])
      ? undefined
      : config[`ecr-helper:${key}`];
  const created = config["ecr-helper:createNamespace"] === "true" ? own("namespace") : undefined;
  const owner = `ecr-helper-${name}`;
  const checks: Check[] = [
    ["ECR repository", own("repositoryName"), hasRepository],
    ["registry content of", own("repositoryName"), hasContent],
    ["IAM user", own("userName"), hasUser],
    ...assumedSuffixes(config).flatMap((suffix): Check[] => [
      ["IAM role", withSuffix(own("roleName"), suffix), hasRole],
      ["IAM policy", withSuffix(own("policyName"), suffix), hasPolicy],
    ]),
    ["IAM OIDC provider", config["ecr-helper:createOidcProvider"] === "true" ? issuer : undefined, hasProvider],
    ["EKS pod identity association in", own("namespace"), hasAssociation],
    ["namespace", created, async (one) => hasObject(options, `/api/v1/namespaces/${one}`)],
    ...["clusterroles", "clusterrolebindings"].map((kind): Check => [
      kind,
      owner,
      async (one) => hasNamed(options, `${rbac}/${kind}`, one),
    ]),
    ...["validatingadmissionpolicies", "validatingadmissionpolicybindings"].flatMap((kind) =>
      ["secrets", "serviceaccounts"].map((resource): Check => [
        kind,
        `${owner}-${resource}`,
        async (one) => hasObject(options, `/apis/admissionregistration.k8s.io/v1/${kind}/${one}`),
      ]),
    ),
    ...["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"].map((kind): Check => [
      kind,
      `${owner}-pods`,
      async (one) => hasObject(options, `/apis/admissionregistration.k8s.io/v1beta1/${kind}/${one}`),
    ]),
    ["objects in build namespaces of", owner, async (one) => hasHelperObjects(options, one)],
  ];
  const remaining: string[] = [];
  for (const [what, of, isThere] of checks) {
    if (of !== undefined && (await isThere(of))) remaining.push(`${what} ${of}`);
  }
  const accounts = await accountsWithEntries(options, owner);
  remaining.push(
    ...accounts.map(({ metadata }) => `entries in service account ${metadata.namespace}/${metadata.name}`),
  );
  if (remaining.length === 0) return;
  // One command on its own line, which can be copied.
  const command = accounts.map((account) => cleanupCommand(account, owner)).join(" && ");
  const entries =
    accounts.length === 0
      ? ""
      : ` The entries, which the helper takes away where it runs, are cleared by\n${command}\n`;
  throw new LocalCloudError(
    `The destroyed stack ${name} left, or somebody else made: ${remaining.join(", ")}. ` +
      `Remedy: delete it (eval "$(npm run -s env)" sets up aws and kubectl), then run npm run down again.${entries}`,
  );
}

/** What comes after the names of the helper's own role and policy in those of the other roles: of the one for pushes, and of groups. */
const assumedSuffixes = (config: Stack["config"]): string[] => [
  "",
  "-push",
  ...(JSON.parse(config["ecr-helper:groups"] ?? "[]") as { name: string }[]).map(({ name }) => `-${name}`),
];

const withSuffix = (name: string | undefined, suffix: string): string | undefined => name && `${name}${suffix}`;

/** Whether an object has a name of the stack: `owner` itself, that of the other owner or the marker, or that of a role for a namespace pattern. */
async function hasNamed(options: KubeOptions, path: string, owner: string): Promise<boolean> {
  const { items } = await createKubeClient(options)<{ items: { metadata: { name: string } }[] }>({
    method: "GET",
    path,
  });
  const isOwn = (name: string): boolean =>
    name.startsWith(owner) && /^(-stack|-owner|-[0-9a-f]{8}-everywhere)?$/.test(name.slice(owner.length));
  return items.some(({ metadata }) => isOwn(metadata.name));
}

const falseIfNotFound = (error: unknown): false => {
  if (error instanceof Error && /NoSuchEntity|NotFound/.test(error.name)) return false;
  throw error;
};

const hasRepository = async (name: string): Promise<boolean> =>
  new ECRClient().send(new DescribeRepositoriesCommand({ repositoryNames: [name] })).then(() => true, falseIfNotFound);

/** Asks the emulator without the gateway, which would refuse a request without a token. */
const hasContent = async (name: string): Promise<boolean> =>
  (await fetch(`${url(ports.emulator)}/v2/${name}/tags/list`)).ok;

const hasUser = async (UserName: string): Promise<boolean> =>
  new IAMClient().send(new GetUserCommand({ UserName })).then(() => true, falseIfNotFound);

const hasRole = async (RoleName: string): Promise<boolean> =>
  new IAMClient().send(new GetRoleCommand({ RoleName })).then(() => true, falseIfNotFound);

async function hasProvider(of: string): Promise<boolean> {
  const OpenIDConnectProviderArn = `arn:aws:iam::${account}:oidc-provider/${of.replace("https://", "")}`;
  const wanted = new GetOpenIDConnectProviderCommand({ OpenIDConnectProviderArn });
  return new IAMClient().send(wanted).then(() => true, falseIfNotFound);
}

async function hasAssociation(namespace: string): Promise<boolean> {
  const wanted = new ListPodIdentityAssociationsCommand({ clusterName: cluster, namespace });
  return (await new EKSClient().send(wanted)).associations?.length !== 0;
}

async function hasPolicy(name: string): Promise<boolean> {
  const { Policies = [] } = await new IAMClient().send(new ListPoliciesCommand({ Scope: "Local" }));
  return Policies.some(({ PolicyName }) => PolicyName === name);
}

const hasObject = async (options: KubeOptions, path: string): Promise<boolean> =>
  (await undefinedIfNotFound(createKubeClient(options)({ method: "GET", path }))) !== undefined;

/** Service accounts that others own and in which the helper recorded its entries. */
async function accountsWithEntries(options: KubeOptions, instance: string): Promise<ServiceAccount[]> {
  const { items } = await createKubeClient(options)<{ items: ServiceAccount[] }>({
    method: "GET",
    path: "/api/v1/serviceaccounts",
  });
  return items.filter((account) => hasHelperEntries(account, instance));
}

/** Whether objects that the helper created are still there after `collectionTimeout`. */
async function hasHelperObjects(options: KubeOptions, instance: string): Promise<boolean> {
  const selector = encodeURIComponent(`app.kubernetes.io/managed-by=ecr-helper,app.kubernetes.io/instance=${instance}`);
  const paths = ["secrets", "serviceaccounts"].map((plural) => `/api/v1/${plural}?labelSelector=${selector}`);
  return Promise.all(paths.map(async (path) => waitUntilGone(options, path, collectionTimeout))).then(
    () => false,
    () => true,
  );
}
