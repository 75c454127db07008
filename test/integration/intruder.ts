// Somebody with the rights of infra/deployer-policy.json who wants more, and what there is of others' in the account.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as ecr from "@aws-sdk/client-ecr";
import * as eks from "@aws-sdk/client-eks";
import * as iam from "@aws-sdk/client-iam";
import { STSClient } from "@aws-sdk/client-sts";
import { deployerPolicy, createDeployer } from "../support/deployer.ts";
import { account, aws } from "../local/settings.ts";

Object.assign(process.env, aws);

/** The account's root, who has made the documents. */
export const root = new iam.IAMClient();

export const policyArn = (name: string): string => `arn:aws:iam::${account}:policy/${name}`;
export const administrator = "arn:aws:iam::aws:policy/AdministratorAccess";

export const policyOf = (statement: object): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: [statement] });
export const everything = policyOf({ Effect: "Allow", Action: "*", Resource: "*" });
/** A role's trust policy for the ARN of a principal; for the account by default. */
export const trusting = (AWS = `arn:aws:iam::${account}:root`): string =>
  policyOf({ Effect: "Allow", Principal: { AWS }, Action: "sts:AssumeRole" });

export interface Clients {
  readonly iam: iam.IAMClient;
  readonly sts: STSClient;
  readonly ecr: ecr.ECRClient;
  readonly eks: eks.EKSClient;
}

interface Credentials {
  readonly AccessKeyId?: string | undefined;
  readonly SecretAccessKey?: string | undefined;
  readonly SessionToken?: string | undefined;
}

/** The clients of somebody in AWS. */
export function clientsOf({ AccessKeyId = "", SecretAccessKey = "", SessionToken }: Credentials = {}): Clients {
  const credentials = {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    ...(SessionToken === undefined ? {} : { sessionToken: SessionToken }),
  };
  return {
    iam: new iam.IAMClient({ credentials }),
    sts: new STSClient({ credentials }),
    ecr: new ecr.ECRClient({ credentials }),
    eks: new eks.EKSClient({ credentials }),
  };
}

/** Refused, for lack of the right to do this; `reason` is AWS' own. */
export const refused = async (
  asked: Promise<unknown>,
  action: string,
  reason = "because no identity-based policy allows",
): Promise<void> =>
  assert.rejects(asked, (error: Error) => {
    assert.match(error.name, /^AccessDenied/, error.message);
    assert.match(error.message, new RegExp(`is not authorized to perform: ${action} on resource: \\S+ ${reason}`));
    return true;
  });

export interface Intruder {
  /** The stack's name, which all has that the documents are about. */
  readonly id: string;
  readonly userArn: string;
  readonly own: Clients;
  /** The name of a user and a role of others; the role may do everything, and the account may assume it. */
  readonly theirs: string;
  /** The ARN of a policy that allows everything. */
  readonly lax: string;
  readonly remove: () => Promise<void>;
}

export async function makeIntruder(): Promise<Intruder> {
  const id = `intruder-${randomBytes(3).toString("hex")}`;
  const [name, theirs, lax] = [`${id}-user`, `${id}-theirs`, `${id}-lax`];
  const user = await createDeployer(root, name, id);
  await user.allow(await deployerPolicy(id));
  await root.send(new iam.CreatePolicyCommand({ PolicyName: lax, PolicyDocument: everything }));
  await root.send(new iam.CreateUserCommand({ UserName: theirs }));
  await root.send(new iam.CreateRoleCommand({ RoleName: theirs, AssumeRolePolicyDocument: trusting() }));
  await root.send(new iam.AttachRolePolicyCommand({ RoleName: theirs, PolicyArn: administrator }));
  return {
    id,
    userArn: `arn:aws:iam::${account}:user/${name}`,
    own: clientsOf(user.key),
    theirs,
    lax: policyArn(lax),
    remove: async () => {
      await root.send(new iam.DetachRolePolicyCommand({ RoleName: theirs, PolicyArn: administrator }));
      await root.send(new iam.DeleteRoleCommand({ RoleName: theirs }));
      await root.send(new iam.DeleteUserCommand({ UserName: theirs }));
      await root.send(new iam.DeletePolicyCommand({ PolicyArn: policyArn(lax) }));
      await user.remove();
    },
  };
}
