// The stack's ECR resources, carried out by the AWS SDK.
import * as ecr from "@aws-sdk/client-ecr";
import { client, handler, retagging, tagsOf, text } from "./aws-handler.ts";
import type { Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

export const repository: Handler = handler({
  identify: (inputs) => text(inputs, "name"),
  fixed: ["name"],
  create: async (inputs) => {
    const answer = await client().ecr.send(
      new ecr.CreateRepositoryCommand({
        repositoryName: text(inputs, "name"),
        imageScanningConfiguration: inputs["imageScanningConfiguration"] as ecr.ImageScanningConfiguration,
        tags: tagsOf(inputs),
      }),
    );
    const { repositoryArn, repositoryUri, registryId } = answer.repository ?? {};
    return { arn: repositoryArn, repositoryUrl: repositoryUri, registryId };
  },
  read: async (id) => {
    const { repositories } = await client().ecr.send(new ecr.DescribeRepositoriesCommand({ repositoryNames: [id] }));
    return { created: repositories?.[0]?.createdAt };
  },
  change: async (inputs, old) => {
    const { set, gone } = retagging(old, inputs);
    const resourceArn = text(old, "arn");
    if (set.length > 0) await client().ecr.send(new ecr.TagResourceCommand({ resourceArn, tags: set }));
    if (gone.length > 0) await client().ecr.send(new ecr.UntagResourceCommand({ resourceArn, tagKeys: gone }));
    const imageScanningConfiguration = inputs["imageScanningConfiguration"] as ecr.ImageScanningConfiguration;
    const repositoryName = text(inputs, "name");
    await client().ecr.send(
      new ecr.PutImageScanningConfigurationCommand({ repositoryName, imageScanningConfiguration }),
    );
    return {};
  },
  remove: async (id, inputs) =>
    client().ecr.send(new ecr.DeleteRepositoryCommand({ repositoryName: id, force: inputs["forceDelete"] === true })),
});

const nameOf = (inputs: Properties): { repositoryName: string } => ({ repositoryName: text(inputs, "repository") });

/** A handler for what a repository has one of and what is written whole: its policies. */
const partOfRepository = (
  put: (inputs: Properties) => Promise<unknown>,
  read: (inputs: Properties) => Promise<unknown>,
  remove: (inputs: Properties) => Promise<unknown>,
): Handler => {
  const write = async (inputs: Properties): Promise<Properties> => put(inputs).then(() => ({}));
  return handler({
    identify: (inputs) => text(inputs, "repository"),
    fixed: ["repository"],
    create: write,
    read: async (_, inputs) => read(inputs).then(() => ({ created: undefined })),
    change: write,
    remove: async (_, inputs) => remove(inputs),
  });
};

export const repositoryPolicy = partOfRepository(
  async (inputs) =>
    client().ecr.send(new ecr.SetRepositoryPolicyCommand({ ...nameOf(inputs), policyText: text(inputs, "policy") })),
  async (inputs) => client().ecr.send(new ecr.GetRepositoryPolicyCommand(nameOf(inputs))),
  async (inputs) => client().ecr.send(new ecr.DeleteRepositoryPolicyCommand(nameOf(inputs))),
);

export const lifecyclePolicy = partOfRepository(
  async (inputs) =>
    client().ecr.send(
      new ecr.PutLifecyclePolicyCommand({ ...nameOf(inputs), lifecyclePolicyText: text(inputs, "policy") }),
    ),
  async (inputs) => client().ecr.send(new ecr.GetLifecyclePolicyCommand(nameOf(inputs))),
  async (inputs) => client().ecr.send(new ecr.DeleteLifecyclePolicyCommand(nameOf(inputs))),
);
