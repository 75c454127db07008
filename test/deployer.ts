// An IAM user that deploys stacks and has no more rights than infra/deployer-policy.json gives.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  DeleteAccessKeyCommand,
  DeleteUserCommand,
  DeleteUserPolicyCommand,
  PutUserPolicyCommand,
  type IAMClient,
} from "@aws-sdk/client-iam";

export interface Statement {
  readonly Sid?: string;
  readonly Action: string | readonly string[];
}

interface Policy {
  readonly Version: string;
  readonly Statement: readonly Statement[];
}

/** The policy for a stack's own names. */
export async function deployerStatements(stack: string): Promise<readonly Statement[]> {
  const file = await readFile(join(import.meta.dirname, "../infra/deployer-policy.json"), "utf8");
  const named = file.replaceAll(/(repository|policy|user|role)\/ecr-helper(-policy)?"/g, `$1/${stack}"`);
  return (JSON.parse(named) as Policy).Statement;
}

const actionsOf = ({ Action }: Statement): readonly string[] => [Action].flat();

/**
 * The policy for a stack's own names, less the actions that are not allowed, and without what the emulator does not tell
 * of a request: condition keys, some resources.
 */
export async function deployerPolicy(
  stack: string,
  isAllowed: (action: string) => boolean = () => true,
): Promise<string> {
  const all = await deployerStatements(stack);
  const blind =
    /^(ecr:(DescribeRepositories|ListTagsForResource|(Unt|T)agResource)|eks:(Unt|T)agResource|iam:(CreatePolicy|\w+OpenIDConnectProvider))$/;
  const statements = all.flatMap((statement) => {
    const Action = actionsOf(statement).filter(isAllowed);
    return [
      { ...statement, Condition: undefined, Action },
      { Effect: "Allow", Action: Action.filter((action) => blind.test(action)), Resource: "*" },
    ];
  });
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: statements.filter(({ Action }) => Action.length > 0),
  });
}

export interface Deployer {
  readonly key: { readonly AccessKeyId: string; readonly SecretAccessKey: string };
  readonly allow: (policy: string) => Promise<void>;
  readonly remove: () => Promise<void>;
}

/** Makes a user by the rights of `iam`. It may do nothing yet. */
export async function makeDeployer(iam: IAMClient, UserName: string): Promise<Deployer> {
  await iam.send(new CreateUserCommand({ UserName }));
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }));
  const key = { AccessKeyId: AccessKey?.AccessKeyId ?? "", SecretAccessKey: AccessKey?.SecretAccessKey ?? "" };
  const PolicyName = "deployer";
  return {
    key,
    allow: async (PolicyDocument) =>
      void (await iam.send(new PutUserPolicyCommand({ UserName, PolicyName, PolicyDocument }))),
    remove: async () => {
      await iam.send(new DeleteAccessKeyCommand({ UserName, AccessKeyId: key.AccessKeyId }));
      await iam.send(new DeleteUserPolicyCommand({ UserName, PolicyName }));
      await iam.send(new DeleteUserCommand({ UserName }));
    },
  };
}
