// The AWS provider's types that infra/ uses, by their tokens.
import type { ResourceType } from "../resource-type.ts";
import { accessKey } from "./access-key.ts";
import { rolePolicyAttachment, userPolicyAttachment } from "./attachments.ts";
import { podIdentityAssociation } from "./eks.ts";
import { openIdConnectProvider } from "./oidc-provider.ts";
import { policy } from "./policy.ts";
import { repository } from "./repository.ts";
import { lifecyclePolicy, repositoryPolicy } from "./repository-policies.ts";
import { role } from "./role.ts";
import type { AwsSession } from "./session.ts";
import { user } from "./user.ts";

/** Each one serves by gRPC and in process alike. */
export const awsTypes = {
  "aws:ecr/repository:Repository": repository,
  "aws:ecr/repositoryPolicy:RepositoryPolicy": repositoryPolicy,
  "aws:ecr/lifecyclePolicy:LifecyclePolicy": lifecyclePolicy,
  "aws:iam/policy:Policy": policy,
  "aws:iam/user:User": user,
  "aws:iam/role:Role": role,
  "aws:iam/accessKey:AccessKey": accessKey,
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment": rolePolicyAttachment,
  "aws:iam/userPolicyAttachment:UserPolicyAttachment": userPolicyAttachment,
  "aws:iam/openIdConnectProvider:OpenIdConnectProvider": openIdConnectProvider,
  "aws:eks/podIdentityAssociation:PodIdentityAssociation": podIdentityAssociation,
} as const satisfies Readonly<Record<string, ResourceType<AwsSession>>>;
