// The stack's AWS types and functions by their names in Pulumi: what the AWS provider does, as far as infra/ uses it.
import { GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import { GetCallerIdentityCommand } from "@aws-sdk/client-sts";
import { parseToken } from "../../../helper/token.ts";
import { lifecyclePolicy, repository, repositoryPolicy } from "./aws-ecr.ts";
import { client } from "./aws-handler.ts";
import { findCluster, podIdentityAssociation } from "./aws-eks.ts";
import {
  findOpenIdConnectProvider,
  openIdConnectProvider,
  policy,
  role,
  rolePolicyAttachment,
  user,
  userPolicyAttachment,
} from "./aws-iam.ts";
import type { Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

export const awsHandlers: Readonly<Record<string, Handler>> = {
  "aws:ecr/repository:Repository": repository,
  "aws:ecr/repositoryPolicy:RepositoryPolicy": repositoryPolicy,
  "aws:ecr/lifecyclePolicy:LifecyclePolicy": lifecyclePolicy,
  "aws:iam/policy:Policy": policy,
  "aws:iam/user:User": user,
  "aws:iam/role:Role": role,
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment": rolePolicyAttachment,
  "aws:iam/openIdConnectProvider:OpenIdConnectProvider": openIdConnectProvider,
  "aws:eks/podIdentityAssociation:PodIdentityAssociation": podIdentityAssociation,
  "aws:iam/userPolicyAttachment:UserPolicyAttachment": userPolicyAttachment,
};

/** The functions of the AWS provider that infra/ calls, by token. */
export const awsFunctions: Readonly<Record<string, (args: Properties) => Promise<Properties>>> = {
  "aws:index/getCallerIdentity:getCallerIdentity": async () => {
    const { Account: accountId, Arn: arn, UserId: userId } = await client().sts.send(new GetCallerIdentityCommand());
    return { accountId, arn, userId };
  },
  "aws:index/getPartition:getPartition": async () => {
    const { Arn = "" } = await client().sts.send(new GetCallerIdentityCommand());
    return { partition: Arn.split(":")[1] };
  },
  "aws:index/getRegion:getRegion": async () => ({ region: await client().sts.config.region() }),
  "aws:eks/getCluster:getCluster": findCluster,
  "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider": findOpenIdConnectProvider,
  "aws:ecr/getAuthorizationToken:getAuthorizationToken": async () => {
    const answer = await client().ecr.send(new GetAuthorizationTokenCommand());
    const [data] = answer.authorizationData ?? [];
    const { username, password } = parseToken(data?.authorizationToken, data?.expiresAt);
    return { userName: username, password };
  },
};
