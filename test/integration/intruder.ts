// An intruder: an IAM user that has the rights of infra/deployer-policy.json and tries to get more, beside foreign resources.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as ecr from "@aws-sdk/client-ecr";
import * as eks from "@aws-sdk/client-eks";
import * as iam from "@aws-sdk/client-iam";
import { STSClient } from "@aws-sdk/client-sts";
import { deployerPolicy, createDeployer } from "../support/deployer.ts";
import { account, aws } from "../local/settings.ts";

Object.assign(process.env, aws);

/** IAM as the account's root, which has created the deployer's policy and boundary. */
export const root = new iam.IAMClient();

/** The ARN of a policy of the account. */
export const policyArn = (name: string): string => `arn:aws:iam::${account}:policy/${name}`;
/** The ARN of AWS' policy that allows everything. */
export const administrator = "arn:aws:iam::aws:policy/AdministratorAccess";

/** A policy of one statement, as JSON. */
export const policyOf = (statement: object): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: [statement] });
/** A policy that allows everything, as JSON. */
export const allowEverything = policyOf({ Effect: "Allow", Action: "*", Resource: "*" });
/** A trust policy for the principal with an ARN; for the account by default. */
export const trusting = (AWS = `arn:aws:iam::${account}:root`): string =>
  policyOf({ Effect: "Allow", Principal: { AWS }, Action: "sts:AssumeRole" });

/** Clients of AWS with the same credentials. */
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

/** Clients with these credentials. */
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

/** Asserts that AWS denies a request because the right to an action is missing; `reason` is the end of AWS' message. */
export const refused = async (
  request: Promise<unknown>,
  action: string,
  reason = "because no identity-based policy allows",
): Promise<void> =>
  assert.rejects(request, (error: Error) => {
    assert.match(error.name, /^AccessDenied/, error.message);
    assert.match(error.message, new RegExp(`is not authorized to perform: ${action} on resource: \\S+ ${reason}`));
    return true;
  });

/** The intruder, and foreign resources to attack. */
export interface Intruder {
  /** The stack's name, which is in the names of all resources that the deployer's policy covers. */
  readonly id: string;
  readonly userArn: string;
  readonly own: Clients;
  /** The name of a foreign user and a foreign role. The role may do everything and trusts the account. */
  readonly theirs: string;
  /** The ARN of a policy that allows everything. */
  readonly lax: string;
  readonly remove: () => Promise<void>;
}

/** Creates the intruder, its boundary and the foreign resources. */
export async function makeIntruder(): Promise<Intruder> {
  const id = `intruder-${randomBytes(3).toString("hex")}`;
  const [name, theirs, lax] = [`${id}-user`, `${id}-theirs`, `${id}-lax`];
  const user = await createDeployer(root, name, id);
  await user.allow(await deployerPolicy(id));
  await root.send(new iam.CreatePolicyCommand({ PolicyName: lax, PolicyDocument: allowEverything }));
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
