// The stack's EKS resource and function, carried out by the AWS SDK.
import * as eks from "@aws-sdk/client-eks";
import { client, orGone, retagging, tagsOf, text } from "./aws-handler.ts";
import { cameOf, type Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

const named = (inputs: Properties): { clusterName: string; namespace: string; serviceAccount: string } => ({
  clusterName: text(inputs, "clusterName"),
  namespace: text(inputs, "namespace"),
  serviceAccount: text(inputs, "serviceAccount"),
});

const pairs = (tags: { Key: string; Value: string }[]): Record<string, string> =>
  Object.fromEntries(tags.map(({ Key, Value }) => [Key, Value]));

/** EKS chooses its id. There is one at the most for a service account of a cluster. */
export const podIdentityAssociation: Handler = {
  identify: () => undefined,
  create: async (inputs) => {
    const roleArn = text(inputs, "roleArn");
    const wanted = { ...named(inputs), roleArn, tags: pairs(tagsOf(inputs)) };
    const { association } = await client().eks.send(new eks.CreatePodIdentityAssociationCommand(wanted));
    const { associationId: id = "", associationArn } = association ?? {};
    return { id, outputs: { ...inputs, associationId: id, associationArn } };
  },
  exists: async ({ id, inputs }) => {
    const wanted = { clusterName: text(inputs, "clusterName"), associationId: id };
    return (await orGone(client().eks.send(new eks.DescribePodIdentityAssociationCommand(wanted)))) !== undefined;
  },
  update: async ({ id, inputs: old, outputs }, inputs) => {
    const [before, after] = [old, inputs].map((one) => JSON.stringify(named(one)));
    if (before !== after) return undefined;
    const [clusterName, roleArn] = [text(inputs, "clusterName"), text(inputs, "roleArn")];
    const wanted = { clusterName, associationId: id, roleArn };
    await client().eks.send(new eks.UpdatePodIdentityAssociationCommand(wanted));
    const { set, gone } = retagging(old, inputs);
    const resourceArn = text(outputs, "associationArn");
    if (set.length > 0) await client().eks.send(new eks.TagResourceCommand({ resourceArn, tags: pairs(set) }));
    if (gone.length > 0) await client().eks.send(new eks.UntagResourceCommand({ resourceArn, tagKeys: gone }));
    return { outputs: { ...outputs, ...inputs } };
  },
  remove: async ({ id, inputs }) => remove(text(inputs, "clusterName"), id),
  undo: async ({ inputs, since }) => {
    const { associations = [] } = await client().eks.send(new eks.ListPodIdentityAssociationsCommand(named(inputs)));
    const clusterName = text(inputs, "clusterName");
    for (const { associationId = "" } of associations) {
      const wanted = new eks.DescribePodIdentityAssociationCommand({ clusterName, associationId });
      const found = (await client().eks.send(wanted)).association;
      if (cameOf({ since }, found?.createdAt)) await remove(clusterName, associationId);
    }
  },
};

async function remove(clusterName: string, associationId: string): Promise<void> {
  await orGone(client().eks.send(new eks.DeletePodIdentityAssociationCommand({ clusterName, associationId })));
}

/** What the function getCluster gives, as far as infra/ reads it. */
export async function findCluster(wanted: Properties): Promise<Properties> {
  const { cluster } = await client().eks.send(new eks.DescribeClusterCommand({ name: text(wanted, "name") }));
  return {
    arn: cluster?.arn,
    region: await client().eks.config.region(),
    endpoint: cluster?.endpoint,
    certificateAuthorities: [cluster?.certificateAuthority],
    identities: [{ oidcs: [cluster?.identity?.oidc] }],
    kubernetesNetworkConfigs: [cluster?.kubernetesNetworkConfig],
  };
}
