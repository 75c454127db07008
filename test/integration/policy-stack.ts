// The admission policies of a stack in a disposable cluster, and a helper's token whose RBAC rights cover everything that the
// policies decide about.
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import { allConfigs } from "../../helper/config/namespaces.ts";
import { tokensSecretNames } from "../../helper/shared/groups.ts";
import type { KubeOptions } from "../../helper/kube/client.ts";
import type { Kube } from "../../helper/kube/types.ts";
import { policySpecs } from "../../infra/admission/policies.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import type { Cluster } from "../support/helper-process.ts";

/** A stack's helper configuration, and access to the cluster with the helper's token. */
export interface PolicyStack {
  readonly config: HelperConfig;
  readonly cluster: Cluster;
}

const post = async (admin: Kube, path: string, body: object): Promise<unknown> => admin({ method: "POST", path, body });

/** Grants all service accounts every right to secrets and service accounts, so that only the policies decide. */
export async function grantSecretRights(admin: Kube, name: string): Promise<void> {
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  const rules = [{ apiGroups: [""], resources: ["secrets", "serviceaccounts"], verbs: ["*"] }];
  await post(admin, `${rbac}/clusterroles`, { metadata: { name }, rules });
  await post(admin, `${rbac}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
    subjects: [{ kind: "Group", name: "system:serviceaccounts" }],
  });
}

/** Applies the policies of a stack with this helper configuration. The policy for secrets is applied last. */
export async function setPolicies(admin: Kube, config: HelperConfig): Promise<void> {
  const { namespace, pullSecret, furtherSecrets, owner } = config;
  const all = allConfigs(config);
  const basicAuthSecrets = [...new Set(all.flatMap((one) => [...one.basicAuthSecrets.values()]))];
  const names = { basicAuthSecrets, pullSecret, tokensSecrets: tokensSecretNames(config), furtherSecrets };
  const kept = { namespaceRules: config, ...names, owner };
  const specs = policySpecs({ name: "ecr-helper", namespace }, kept);
  const set = async (plural: string, kind: string, name: string, spec: object): Promise<unknown> =>
    admin({
      method: "PATCH",
      path: `/apis/admissionregistration.k8s.io/v1/${plural}/${name}?fieldManager=test`,
      contentType: "application/apply-patch+yaml",
      body: { apiVersion: "admissionregistration.k8s.io/v1", kind, metadata: { name }, spec },
    });
  for (const resource of ["serviceaccounts", "secrets"] as const) {
    const name = `${namespace}-${resource}`;
    await set("validatingadmissionpolicies", "ValidatingAdmissionPolicy", name, specs[resource]);
    const spec = { policyName: name, validationActions: ["Deny"] };
    await set("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", name, spec);
  }
}

/** Creates the namespace of a stack's helper, its service account and its policies. `env` overrides the helper's defaults. */
export async function makePolicyStack(
  admin: Kube,
  { server, ca }: KubeOptions,
  namespace: string,
  env: Readonly<Record<string, string>>,
): Promise<PolicyStack> {
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await post(admin, "/api/v1/namespaces", { metadata: { name: namespace } });
  await post(admin, accounts, { metadata: { name: "ecr-helper" } });
  const config = readConfig({ ...helperEnvironment, ...env, ECR_HELPER_NAMESPACE: namespace });
  await setPolicies(admin, config);
  const path = `${accounts}/ecr-helper/token`;
  const { status } = await admin<{ status: { token: string } }>({ method: "POST", path, body: { spec: {} } });
  return { config, cluster: { server, ca: ca(), token: status.token } };
}
