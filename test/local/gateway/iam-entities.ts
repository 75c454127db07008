// Users, roles and their policies, as IAM returns them.
import {
  GetPolicyCommand,
  GetPolicyVersionCommand,
  GetRoleCommand,
  GetUserCommand,
  type AttachedPolicy,
  type GetAccountAuthorizationDetailsResponse,
  type IAMClient,
  type PolicyDetail,
  type Tag,
} from "@aws-sdk/client-iam";
import type { Policy, Principal } from "./principal.ts";

type Details = GetAccountAuthorizationDetailsResponse;

/** A user or a role with the policies that are attached to it. */
export interface Entity {
  readonly id: string | undefined;
  readonly arn: string | undefined;
  readonly inline: readonly Policy[];
  readonly attached: readonly AttachedPolicy[];
  readonly tags: readonly Tag[];
}

/** Gives undefined where IAM answers that the user, role or key does not exist; any other error is passed on. */
export async function undefinedIfNoEntity<T>(response: Promise<T>): Promise<T | undefined> {
  try {
    return await response;
  } catch (error) {
    if ((error as Error).name === "NoSuchEntityException") return undefined;
    throw error;
  }
}

/** A user of the account with its own policies and those of its groups; undefined where there is no such user. */
export function findUser({ UserDetailList = [], GroupDetailList = [] }: Details, name: string): Entity | undefined {
  const user = UserDetailList.find(({ UserName }) => UserName === name);
  if (user === undefined) return undefined;
  const groups = GroupDetailList.filter(({ GroupName = "" }) => user.GroupList?.includes(GroupName));
  return {
    id: user.UserId,
    arn: user.Arn,
    inline: inlinePolicies([...(user.UserPolicyList ?? []), ...groups.flatMap((one) => one.GroupPolicyList ?? [])]),
    attached: [user, ...groups].flatMap((one) => one.AttachedManagedPolicies ?? []),
    tags: user.Tags ?? [],
  };
}

/** A role of the account with its policies; undefined where there is no such role. */
export function findRole({ RoleDetailList = [] }: Details, name: string): Entity | undefined {
  const role = RoleDetailList.find(({ RoleName }) => RoleName === name);
  if (role === undefined) return undefined;
  return {
    id: role.RoleId,
    arn: role.Arn,
    inline: inlinePolicies(role.RolePolicyList),
    attached: role.AttachedManagedPolicies ?? [],
    tags: role.Tags ?? [],
  };
}

const inlinePolicies = (list: readonly PolicyDetail[] = []): Policy[] =>
  list.map(({ PolicyName = "", PolicyDocument = "" }) => ({ name: PolicyName, policy: parse(PolicyDocument) }));

/** IAM's documents are percent-encoded JSON. */
const parse = (document: string): unknown => JSON.parse(decodeURIComponent(document));

/** The document of a managed policy. The account's details have its own policies only, so IAM is asked for those of AWS. */
export async function managedPolicy(iam: IAMClient, { Policies = [] }: Details, PolicyArn: string): Promise<unknown> {
  const own = Policies.find(({ Arn }) => Arn === PolicyArn);
  const inForce = own?.PolicyVersionList?.find(({ VersionId }) => VersionId === own.DefaultVersionId);
  if (inForce?.Document !== undefined) return parse(inForce.Document);
  const { Policy: found } = await iam.send(new GetPolicyCommand({ PolicyArn }));
  const wanted = { PolicyArn, VersionId: found?.DefaultVersionId };
  const { PolicyVersion } = await iam.send(new GetPolicyVersionCommand(wanted));
  return parse(PolicyVersion?.Document ?? "");
}

/** The ARN of the permissions boundary of a user, or of a session's role; undefined where it has none. */
export async function boundaryOf(iam: IAMClient, { kind, name }: Principal): Promise<string | undefined> {
  const entity =
    kind === "user"
      ? (await iam.send(new GetUserCommand({ UserName: name }))).User
      : (await iam.send(new GetRoleCommand({ RoleName: name }))).Role;
  return entity?.PermissionsBoundary?.PermissionsBoundaryArn;
}
