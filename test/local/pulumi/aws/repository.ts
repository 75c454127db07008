// aws:ecr/repository:Repository. Rules: terraform-provider-aws internal/service/ecr/repository.go.
import * as ecr from "@aws-sdk/client-ecr";
import type { InputSpec } from "../schema.ts";
import { resourceType } from "../declared-type.ts";
import { type Change, type Observed } from "../resource-type.ts";
import { isEmpty, type Properties } from "../values.ts";
import { codeOf, withContext, undefinedIfGone } from "./errors.ts";
import { oneOf, planRegion, regionInput, regionOf } from "./inputs.ts";
import type { AwsSession } from "./session.ts";
import { allTags, observedTags, planTags, retag, tagsInput, toTagList } from "./tags.ts";

const encryption: InputSpec = {
  type: "objects",
  fields: {
    encryptionType: { type: "string", default: "AES256", validate: oneOf("AES256", "KMS", "KMS_DSSE") },
    kmsKey: { type: "string", computed: true },
  },
  // AWS encrypts repositories even without this input: SuppressMissingOptionalConfigurationBlock.
  computed: true,
  forceNew: true,
  equivalent: (old, next) => {
    const [before, after] = [old, next].map((list) => (list as Properties[])[0] ?? {});
    const isSameType = (before?.["encryptionType"] ?? "AES256") === (after?.["encryptionType"] ?? "AES256");
    return isSameType && (isEmpty(after?.["kmsKey"]) || before?.["kmsKey"] === after?.["kmsKey"]);
  },
};

/** The resource type. Its id is the repository's name. */
export const repository = resourceType<AwsSession>({
  schema: {
    // Like the original this does not validate names; AWS does.
    name: { type: "string", required: true, forceNew: true, autoname: { maxLength: 255 } },
    encryptionConfigurations: encryption,
    forceDelete: { type: "boolean", stateOnly: true },
    imageScanningConfiguration: {
      type: "object",
      fields: { scanOnPush: { type: "boolean", required: true } },
      computed: true,
    },
    imageTagMutability: {
      type: "string",
      default: "MUTABLE",
      validate: oneOf("MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"),
    },
    imageTagMutabilityExclusionFilters: { type: "objects", unsupported: true },
    region: regionInput,
    tags: tagsInput,
  },
  computed: ["arn", "registryId", "repositoryUrl"],
  plan: (inputs, session) => ({ ...planTags(inputs, session), ...planRegion(inputs, session) }),
  create: async (inputs, session) => {
    const name = String(inputs["name"]);
    const [encryptionConfiguration] = (inputs["encryptionConfigurations"] ?? []) as Partial<Record<string, string>>[];
    const command = new ecr.CreateRepositoryCommand({
      repositoryName: name,
      imageTagMutability: inputs["imageTagMutability"] as ecr.ImageTagMutability,
      imageScanningConfiguration: inputs["imageScanningConfiguration"] as ecr.ImageScanningConfiguration | undefined,
      encryptionConfiguration: encryptionConfiguration && {
        encryptionType: (encryptionConfiguration["encryptionType"] ?? "AES256") as ecr.EncryptionType,
        kmsKey: encryptionConfiguration["kmsKey"],
      },
      tags: toTagList(allTags(inputs, session)),
    });
    await withContext(`creating ECR Repository (${name})`, session.ecr(inputs["region"]).send(command));
    return { id: name };
  },
  read,
  update: async (change, session) => {
    await withContext(`updating ECR Repository (${change.id})`, update(change, session));
    return undefined;
  },
  remove: async (id, state, session) => {
    const command = new ecr.DeleteRepositoryCommand({ repositoryName: id, force: state["forceDelete"] === true });
    await undefinedIfGone(session.ecr(state["region"]).send(command)).catch(async (error: unknown) => {
      const isFull = codeOf(error) === "RepositoryNotEmptyException";
      const what = isFull
        ? `ECR Repository (${id}) not empty, consider using force_delete`
        : `deleting ECR Repository (${id})`;
      return withContext(what, Promise.reject(error as Error));
    });
  },
});

async function read(id: string, state: Properties, session: AwsSession): Promise<Observed | undefined> {
  const client = session.ecr(state["region"]);
  const what = `reading ECR Repository (${id})`;
  const described = undefinedIfGone(client.send(new ecr.DescribeRepositoriesCommand({ repositoryNames: [id] })));
  const found = (await withContext(what, described))?.repositories?.[0];
  if (found === undefined) return undefined;
  const { repositoryArn: resourceArn } = found;
  const tags = await withContext(
    what,
    undefinedIfGone(client.send(new ecr.ListTagsForResourceCommand({ resourceArn }))),
  );
  const { encryptionType = "AES256", kmsKey = "" } = found.encryptionConfiguration ?? {};
  const properties = {
    arn: resourceArn,
    name: found.repositoryName,
    registryId: found.registryId,
    repositoryUrl: found.repositoryUri,
    imageTagMutability: found.imageTagMutability,
    imageScanningConfiguration: { scanOnPush: found.imageScanningConfiguration?.scanOnPush ?? false },
    encryptionConfigurations: [{ encryptionType, kmsKey }],
    region: regionOf(state, session),
    ...observedTags(tags?.tags, session, state),
  };
  return { id, properties };
}

async function update({ id, state, inputs, changes }: Change, session: AwsSession): Promise<void> {
  const client = session.ecr(state["region"]);
  const repositoryName = id;
  if (changes("imageTagMutability")) {
    const imageTagMutability = inputs["imageTagMutability"] as ecr.ImageTagMutability;
    await client.send(new ecr.PutImageTagMutabilityCommand({ repositoryName, imageTagMutability }));
  }
  if (changes("imageScanningConfiguration")) {
    const imageScanningConfiguration = inputs["imageScanningConfiguration"] as ecr.ImageScanningConfiguration;
    await client.send(new ecr.PutImageScanningConfigurationCommand({ repositoryName, imageScanningConfiguration }));
  }
  const resourceArn = String(state["arn"]);
  await retag({ state, inputs }, session, {
    set: async (tags) => client.send(new ecr.TagResourceCommand({ resourceArn, tags: toTagList(tags) })),
    remove: async (tagKeys) => client.send(new ecr.UntagResourceCommand({ resourceArn, tagKeys })),
  });
}
