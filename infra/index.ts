// The stack: configuration -> AWS -> image -> cluster -> outputs.
import { getCallerIdentityOutput } from "@pulumi/aws/getCallerIdentity.js";
import { getPartitionOutput } from "@pulumi/aws/getPartition.js";
import { getRegionOutput } from "@pulumi/aws/getRegion.js";
import { clusterProvider } from "./cluster.ts";
import { readConfig } from "./config.ts";
import { Workload } from "./deployment.ts";
import { Identity } from "./identity.ts";
import { HelperImage } from "./image.ts";
import { Repository } from "./repository.ts";

const config = readConfig();
const name = "ecr-helper";

const repository = new Repository(name, {
  name: config.repositoryName,
  principals: config.repositoryPrincipals,
  forceDelete: config.forceDelete,
  accountId: getCallerIdentityOutput().accountId,
  partition: getPartitionOutput().partition,
});

const helperIdentity = new Identity(name, config);

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
  provider: clusterProvider(config.cluster),
  imageRef: image.ref,
  login: image.login,
  accessKey: helperIdentity.accessKey,
  region: getRegionOutput().region,
  registries: repository.host.apply((host) => [...new Set([host, ...config.registries])]),
});

export const repositoryUrl = repository.url;
export const imageRef = image.ref;
export const namespace = workload.namespace;
export const deployment = workload.deployment;
export const identity = config.identity;
export const policyArn = helperIdentity.policyArn;
export const userName = helperIdentity.userName;
export const credentialsSecretName = workload.credentialsSecretName;
export const basicAuthSecretName = config.basicAuthSecret;
export const pullSecretName = config.pullSecret;
export const buildServiceAccountName = config.serviceAccount;
export const buildNamespaces = config.buildNamespaces;
