// The stack: configuration -> AWS -> image -> cluster -> outputs.
import { PodAdmission } from "./admission/pods.ts";
import { assumeGrants, pushRoleArn, registryTrustPolicies } from "./assumed-roles.ts";
import { clusterProviders, findEksCluster } from "./cluster.ts";
import { allLogins } from "./config/registries.ts";
import { app, clusterName, readConfig } from "./config/stack.ts";
import { crossAccountPolicies } from "./cross-account.ts";
import { groupRoles, groupsOf } from "./groups.ts";
import { helperArn } from "./iam-arns.ts";
import { Identity } from "./identity.ts";
import { helperPolicy, pushPolicy } from "./image-rights.ts";
import { helperImage } from "./image.ts";
import { findOwnRegistry } from "./registry.ts";
import { Repository } from "./repository.ts";
import { resolveIdentity } from "./resolved-identity.ts";
import { Workload } from "./workload.ts";

const own = await findOwnRegistry();
const config = readConfig(own);
const name = "ecr-helper";

// Look these up first, so that a missing cluster or OIDC provider fails before any change.
const eks = await findEksCluster(config.cluster);
const resolved = await resolveIdentity(config.identity, eks);

const repository = new Repository(name, { ...config, registry: own });

const rights = { ...config, own };
const serviceAccount = { namespace: config.namespace, name: app };
const identity = new Identity(name, {
  ...config,
  identity: resolved,
  policy: helperPolicy(rights, assumeGrants(config, own)),
  push: config.pushRole && { ...config.pushRole, policy: pushPolicy(rights) },
  groups: groupRoles(config, own),
  own,
  serviceAccount,
});
const { principal } = identity;
const principals = { helper: helperArn(config, own), pushRole: pushRoleArn(config, own) };
const crossAccountPolicy = crossAccountPolicies(rights, principals);
const trustPolicies = registryTrustPolicies(config, own);

const image = helperImage(name, config.image, {
  own,
  repository,
  registryHost: config.registryHost ?? repository.host,
  repositoryName: config.repositoryName,
});

const providers = clusterProviders(config.cluster, eks);
const workload = new Workload(name, {
  config,
  providers,
  imageRef: image.ref,
  login: image.login,
  identity,
  region: own.region,
  registries: repository.host.apply((host) => allLogins(host, config)),
  groups: repository.host.apply((host) => groupsOf(config, own, host)),
});

// After the rollout: its pull secret may be a new one.
if (config.podAdmission !== "none")
  new PodAdmission(
    name,
    {
      ...config,
      name: clusterName(),
      version: config.podAdmission,
      namespaceRules: config,
    },
    { provider: providers.objects, dependsOn: workload },
  );

// An output that does not apply to this stack is left out instead of being undefined.
export default {
  repositoryUrl: repository.url,
  imageRef: image.ref,
  namespace: workload.namespace,
  deployment: workload.deployment,
  identity: config.identity.mode,
  policyArn: identity.policyArn,
  ...("userName" in principal && { userName: principal.userName }),
  ...("roleArn" in principal && { roleArn: principal.roleArn }),
  ...(identity.pushRoleArn && { pushRoleArn: identity.pushRoleArn }),
  ...(Object.keys(identity.groupRoleArns).length > 0 && { groupRoleArns: identity.groupRoleArns }),
  ...(workload.credentialsSecretName && { credentialsSecretName: workload.credentialsSecretName }),
  basicAuthSecretName: config.basicAuthSecret,
  pullSecretName: config.pullSecret,
  ...(config.secrets.length > 0 && { secretNames: config.secrets.map(({ name }) => name) }),
  buildServiceAccountNames: config.serviceAccounts,
  buildNamespaces: config.buildNamespaces,
  ...(crossAccountPolicy && { crossAccountPolicy }),
  ...(trustPolicies && { registryTrustPolicies: trustPolicies }),
};
