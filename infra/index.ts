// The stack: configuration -> AWS -> image -> cluster -> outputs.
import { getCallerIdentityOutput } from "@pulumi/aws/getCallerIdentity.js";
import { getPartitionOutput } from "@pulumi/aws/getPartition.js";
import { getRegionOutput } from "@pulumi/aws/getRegion.js";
import { clusterProvider, findEksCluster } from "./cluster.ts";
import { readConfig } from "./config.ts";
import { app, Workload } from "./deployment.ts";
import { Identity } from "./identity.ts";
import { HelperImage } from "./image.ts";
import { findOidcProvider } from "./oidc.ts";
import { Repository } from "./repository.ts";

const config = readConfig();
const name = "ecr-helper";

// Looked up before anything is made: what is not there is told, and nothing was changed.
const eks = await findEksCluster(config.cluster);
const oidc = config.identity.mode === "irsa" ? await findOidcProvider(config.identity, eks) : undefined;

const repository = new Repository(name, {
  name: config.repositoryName,
  principals: config.repositoryPrincipals,
  forceDelete: config.forceDelete,
  tags: config.tags,
  accountId: getCallerIdentityOutput().accountId,
  partition: getPartitionOutput().partition,
});

const serviceAccount = { namespace: config.namespace, name: app };
const helperIdentity = new Identity(name, { ...config, serviceAccount, eks, oidc });

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
  provider: clusterProvider(config.cluster, eks),
  imageRef: image.ref,
  login: image.login,
  identity: helperIdentity,
  eks,
  region: getRegionOutput().region,
  registries: repository.host.apply((host) => [...new Set([host, ...config.registries])]),
});

export const repositoryUrl = repository.url;
export const imageRef = image.ref;
export const namespace = workload.namespace;
export const deployment = workload.deployment;
export const identity = config.identity.mode;
export const policyArn = helperIdentity.policyArn;
export const userName = helperIdentity.userName;
export const roleArn = helperIdentity.roleArn;
export const credentialsSecretName = workload.credentialsSecretName;
export const basicAuthSecretName = config.basicAuthSecret;
export const pullSecretName = config.pullSecret;
export const buildServiceAccountName = config.serviceAccount;
export const buildNamespaces = config.buildNamespaces;
