// aws:eks/podIdentityAssociation:PodIdentityAssociation and the function getCluster. Rules: terraform-provider-aws
// internal/service/eks/pod_identity_association.go and cluster_data_source.go.
import * as eks from "@aws-sdk/client-eks";
import { resourceType } from "../declared-type.ts";
import { type Observed } from "../resource-type.ts";
import type { Properties } from "../values.ts";
import { InvalidArgumentsError } from "../plugin.ts";
import { withContext, undefinedIfGone } from "./errors.ts";
import { arnInput, planRegion, regionInput, regionOf, text, timestamp } from "./inputs.ts";
import type { AwsSession } from "./session.ts";
import { allTags, observedTags, planTags, retag, tagsInput } from "./tags.ts";

const fixed = { type: "string", required: true, forceNew: true } as const;

/** The resource type. Its id is the association's id; an import needs `CLUSTER,ASSOCIATION`. */
export const podIdentityAssociation = resourceType<AwsSession>({
  schema: {
    clusterName: fixed,
    namespace: fixed,
    serviceAccount: fixed,
    roleArn: { ...arnInput, required: true },
    targetRoleArn: arnInput,
    disableSessionTags: { type: "boolean", default: false },
    policy: { type: "string", unsupported: true },
    region: regionInput,
    tags: tagsInput,
  },
  computed: ["associationArn", "associationId", "externalId"],
  plan: (inputs, session) => ({ ...planTags(inputs, session), ...planRegion(inputs, session) }),
  create: async (inputs, session) => {
    const command = new eks.CreatePodIdentityAssociationCommand({
      clusterName: String(inputs["clusterName"]),
      namespace: String(inputs["namespace"]),
      serviceAccount: String(inputs["serviceAccount"]),
      roleArn: String(inputs["roleArn"]),
      targetRoleArn: text(inputs, "targetRoleArn"),
      disableSessionTags: inputs["disableSessionTags"] === true,
      tags: allTags(inputs, session),
    });
    const created = await withContext(
      "creating EKS Pod Identity Association",
      session.eks(inputs["region"]).send(command),
    );
    return { id: created.association?.associationId ?? "" };
  },
  read,
  update: async ({ id, state, inputs, changes }, session) => {
    const client = session.eks(state["region"]);
    if (["roleArn", "targetRoleArn", "disableSessionTags"].some(changes)) {
      const command = new eks.UpdatePodIdentityAssociationCommand({
        clusterName: String(state["clusterName"]),
        associationId: id,
        roleArn: String(inputs["roleArn"]),
        targetRoleArn: text(inputs, "targetRoleArn"),
        disableSessionTags: inputs["disableSessionTags"] === true,
      });
      await withContext(`updating EKS Pod Identity Association (${id})`, client.send(command));
    }
    const resourceArn = String(state["associationArn"]);
    const retagged = retag({ state, inputs }, session, {
      set: async (tags) => client.send(new eks.TagResourceCommand({ resourceArn, tags })),
      remove: async (tagKeys) => client.send(new eks.UntagResourceCommand({ resourceArn, tagKeys })),
    });
    await withContext(`updating tags for EKS Pod Identity Association (${id})`, retagged);
    return undefined;
  },
  remove: async (associationId, state, session) => {
    const wanted = { clusterName: String(state["clusterName"]), associationId };
    const response = session.eks(state["region"]).send(new eks.DeletePodIdentityAssociationCommand(wanted));
    await withContext(`deleting EKS Pod Identity Association (${associationId})`, undefinedIfGone(response));
  },
});

/** Reads an association. The id of an import is `CLUSTER,ASSOCIATION`; afterwards it is `ASSOCIATION`. */
async function read(id: string, state: Properties, session: AwsSession): Promise<Observed | undefined> {
  const [first = "", second] = id.split(",");
  const clusterName = text(state, "clusterName") ?? (second === undefined ? undefined : first);
  if (clusterName === undefined) {
    throw new Error(`wrong format of import ID (${id}), use: 'cluster-name,association-id'`);
  }
  const associationId = second ?? first;
  const wanted = new eks.DescribePodIdentityAssociationCommand({ clusterName, associationId });
  const response = undefinedIfGone(session.eks(state["region"]).send(wanted));
  const found = (await withContext(`reading EKS Pod Identity Association (${associationId})`, response))?.association;
  if (found === undefined) return undefined;
  const properties = {
    associationArn: found.associationArn,
    associationId,
    clusterName,
    namespace: found.namespace,
    serviceAccount: found.serviceAccount,
    roleArn: found.roleArn,
    targetRoleArn: found.targetRoleArn,
    disableSessionTags: found.disableSessionTags ?? false,
    externalId: found.externalId ?? "",
    region: regionOf(state, session),
    ...observedTags(found.tags, session, state),
  };
  return { id: associationId, properties };
}

const blockOf = (value: unknown): unknown[] => (value === undefined ? [] : [value]);

/** The function aws:eks/getCluster. Like the original it returns each block of EKS' response as a list of one block. */
export async function getCluster(args: Properties, session: AwsSession): Promise<Properties> {
  const name = text(args, "name");
  if (name === undefined) {
    throw new InvalidArgumentsError([{ property: "name", reason: `Missing required argument "name"` }]);
  }
  const response = session.eks(args["region"]).send(new eks.DescribeClusterCommand({ name }));
  const { cluster = {} } = await withContext(`reading EKS Cluster (${name})`, response);
  return {
    id: name,
    name,
    region: regionOf(args, session),
    ...valuesOf(cluster),
    ...blocksOf(cluster),
    tags: observedTags(cluster.tags, session, {})["tagsAll"],
  };
}

const valuesOf = (cluster: eks.Cluster): Properties => ({
  arn: cluster.arn,
  endpoint: cluster.endpoint,
  version: cluster.version,
  status: cluster.status,
  roleArn: cluster.roleArn,
  platformVersion: cluster.platformVersion ?? "",
  clusterId: cluster.id ?? "",
  createdAt: timestamp(cluster.createdAt) ?? "",
  deletionProtection: cluster.deletionProtection ?? false,
});

function blocksOf(cluster: eks.Cluster): Properties {
  const logging = (cluster.logging?.clusterLogging ?? []).filter(({ enabled }) => enabled === true);
  return {
    ...Object.fromEntries(emptyBlocks.map((key) => [key, []])),
    enabledClusterLogTypes: logging.flatMap(({ types = [] }) => types),
    certificateAuthorities: blockOf(cluster.certificateAuthority),
    identities: [{ oidcs: blockOf(cluster.identity?.oidc) }],
    kubernetesNetworkConfigs: blockOf(cluster.kubernetesNetworkConfig),
    accessConfigs: blockOf(cluster.accessConfig),
    upgradePolicies: blockOf(cluster.upgradePolicy),
    vpcConfig: { ...cluster.resourcesVpcConfig },
  };
}

/** Blocks of the original that clusters of the local cloud do not have. */
const emptyBlocks = [
  ...["computeConfigs", "controlPlaneScalingConfigs", "kubeApiServerConfigs", "kubeControllerManagerConfigs"],
  ...["kubeSchedulerConfigs", "outpostConfigs", "remoteNetworkConfigs", "storageConfigs", "zonalShiftConfigs"],
];
