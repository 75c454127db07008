// The stack: configuration -> AWS -> image -> cluster -> outputs.
import { clusterProviders, findEksCluster } from "./cluster.ts";
import { app, readConfig } from "./config/stack.ts";
import { Workload } from "./workload.ts";
import { crossAccountPolicies } from "./cross-account.ts";
import { helperArn, Identity, roleArn } from "./identity.ts";
import { helperPolicy, pushPolicy } from "./image-rights.ts";
import { HelperImage } from "./image.ts";
import { findOidcProvider } from "./oidc.ts";
import { findOwnRegistry } from "./registry.ts";
import { Repository } from "./repository.ts";
import { assumeActions } from "./trust-policy.ts";

const own = await findOwnRegistry();
const config = readConfig(own);
const name = "ecr-helper";

// Looked up before anything is made: what is not there is told, and nothing was changed.
const eks = await findEksCluster(config.cluster);
const oidc = config.identity.mode === "irsa" ? await findOidcProvider(config.identity, eks) : undefined;

const repository = new Repository(name, { ...config, registry: own });

const rights = { ...config, own };
const serviceAccount = { namespace: config.namespace, name: app };
const pushRole = config.pushRole && roleArn(config.pushRole.roleName, config, own);
const actions = assumeActions(config.identity.mode);
const assuming = pushRole === undefined ? undefined : { role: pushRole, actions };
const identity = new Identity(name, {
  ...config,
  policy: helperPolicy(rights, assuming),
  push: config.pushRole && { ...config.pushRole, policy: pushPolicy(rights) },
  own,
  serviceAccount,
  eks,
  oidc,
});
const crossAccountPolicy = crossAccountPolicies(rights, { helper: helperArn(config, own), pushRole });

const image = new HelperImage(
  name,
  {
    registryHost: config.registryHost ?? repository.host,
    repositoryName: config.repositoryName,
    baseImage: config.baseImage,
    platform: config.platform,
  },
  { dependsOn: repository },
);

const workload = new Workload(name, {
  config,
  providers: clusterProviders(config.cluster, eks),
  imageRef: image.ref,
  login: image.login,
  identity,
  eks,
  region: own.region,
  registries: repository.host.apply((host) => [...new Set([host, ...config.registries])]),
});

// An output that a stack does not have is left out, and not told of as undefined.
export default {
  repositoryUrl: repository.url,
  imageRef: image.ref,
  namespace: workload.namespace,
  deployment: workload.deployment,
  identity: config.identity.mode,
  policyArn: identity.policyArn,
  ...(identity.userName && { userName: identity.userName }),
  ...(identity.roleArn && { roleArn: identity.roleArn }),
  ...(identity.pushRoleArn && { pushRoleArn: identity.pushRoleArn }),
  ...(workload.credentialsSecretName && { credentialsSecretName: workload.credentialsSecretName }),
  basicAuthSecretName: config.basicAuthSecret,
  pullSecretName: config.pullSecret,
  buildServiceAccountName: config.serviceAccount,
  buildNamespaces: config.buildNamespaces,
  ...(crossAccountPolicy && { crossAccountPolicy }),
};
