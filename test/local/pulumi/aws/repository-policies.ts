// aws:ecr/repositoryPolicy:RepositoryPolicy and aws:ecr/lifecyclePolicy:LifecyclePolicy: what a repository has one of.
// Rules: terraform-provider-aws internal/service/ecr/repository_policy.go and lifecycle_policy.go.
import * as ecr from "@aws-sdk/client-ecr";
import { resourceType } from "../declared-type.ts";

import type { Properties } from "../values.ts";
import { withContext, undefinedIfGone } from "./errors.ts";
import { planRegion, regionInput, regionOf } from "./inputs.ts";
import { lifecyclePolicyInput, normalizeJson, resourcePolicyInput } from "./policy-document.ts";
import type { AwsSession } from "./session.ts";

const repositoryInput = { type: "string", required: true, forceNew: true } as const;

const normalText = (inputs: Properties): string => String(normalizeJson(inputs["policy"]));

async function putRepositoryPolicy(inputs: Properties, session: AwsSession): Promise<string> {
  const repositoryName = String(inputs["repository"]);
  const command = new ecr.SetRepositoryPolicyCommand({ repositoryName, policyText: normalText(inputs) });
  const what = `putting ECR Repository Policy (${repositoryName})`;
  await withContext(what, session.ecr(inputs["region"]).send(command));
  return repositoryName;
}

/** Its id is the repository's name. */
export const repositoryPolicy = resourceType<AwsSession>({
  schema: { repository: repositoryInput, policy: resourcePolicyInput, region: regionInput },
  computed: ["registryId"],
  plan: planRegion,
  create: async (inputs, session) => ({ id: await putRepositoryPolicy(inputs, session) }),
  read: async (id, state, session) => {
    const response = session.ecr(state["region"]).send(new ecr.GetRepositoryPolicyCommand({ repositoryName: id }));
    const found = await withContext(`reading ECR Repository Policy (${id})`, undefinedIfGone(response));
    if (found?.policyText === undefined) return undefined;
    const { policyText: policy, registryId, repositoryName: repository = id } = found;
    return { id, properties: { policy, registryId, repository, region: regionOf(state, session) } };
  },
  update: async ({ inputs }, session) => putRepositoryPolicy(inputs, session),
  remove: async (id, state, session) => {
    const response = session.ecr(state["region"]).send(new ecr.DeleteRepositoryPolicyCommand({ repositoryName: id }));
    await withContext(`deleting ECR Repository Policy (${id})`, undefinedIfGone(response));
  },
});

/** Its id is the repository's name. */
export const lifecyclePolicy = resourceType<AwsSession>({
  schema: { repository: repositoryInput, policy: lifecyclePolicyInput, region: regionInput },
  computed: ["registryId"],
  plan: planRegion,
  // The new one would be written over the old one, and then be deleted (pulumi-aws provider/resources.go).
  deleteBeforeReplace: true,
  create: async (inputs, session) => {
    const repositoryName = String(inputs["repository"]);
    const command = new ecr.PutLifecyclePolicyCommand({ repositoryName, lifecyclePolicyText: normalText(inputs) });
    const what = `creating ECR Lifecycle Policy (${repositoryName})`;
    await withContext(what, session.ecr(inputs["region"]).send(command));
    return { id: repositoryName };
  },
  read: async (id, state, session) => {
    const response = session.ecr(state["region"]).send(new ecr.GetLifecyclePolicyCommand({ repositoryName: id }));
    const found = await withContext(`reading ECR Lifecycle Policy (${id})`, undefinedIfGone(response));
    if (found?.lifecyclePolicyText === undefined) return undefined;
    const { lifecyclePolicyText: policy, registryId, repositoryName: repository = id } = found;
    return { id, properties: { policy, registryId, repository, region: regionOf(state, session) } };
  },
  remove: async (id, state, session) => {
    const response = session.ecr(state["region"]).send(new ecr.DeleteLifecyclePolicyCommand({ repositoryName: id }));
    await withContext(`deleting ECR Lifecycle Policy (${id})`, undefinedIfGone(response));
  },
});
