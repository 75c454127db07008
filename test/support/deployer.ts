// An IAM user with the rights of infra/deployer-policy.json, and the permissions boundary that an administrator creates for
// the users and roles of its stacks.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CreateAccessKeyCommand,
  CreatePolicyCommand,
  CreateUserCommand,
  DeleteAccessKeyCommand,
  DeletePolicyCommand,
  DeleteUserCommand,
  DeleteUserPolicyCommand,
  ListAccessKeysCommand,
  PutUserPolicyCommand,
  type IAMClient,
} from "@aws-sdk/client-iam";
import { account, aws, cluster, issuer } from "../local/settings.ts";

/** A statement of infra/deployer-policy.json. */
export interface Statement {
  readonly Sid?: string;
  readonly Action: string | readonly string[];
}

interface Policy {
  readonly Version: string;
  readonly Statement: readonly Statement[];
}

/** What a deployer's policy is made for. */
export interface DeployerRights {
  /** Which actions of the document it keeps; all by default. */
  readonly isAllowed?: (action: string) => boolean;
  /** The OIDC provider's issuer, without `https://`; the local cluster's by default. */
  readonly oidcIssuer?: string;
}

/** A policy document of infra/ with its placeholders filled in, for a stack whose name all its resources have. */
async function readDocument(file: string, stack: string, oidcIssuer = issuer.replace("https://", "")): Promise<string> {
  const document = await readFile(join(import.meta.dirname, "../../infra", file), "utf8");
  return document
    .replaceAll(/ecr-helper(-policy)?/g, stack)
    .replaceAll("ACCOUNT", account)
    .replaceAll("REGION", aws.AWS_REGION)
    .replaceAll("CLUSTER", cluster)
    .replaceAll("ISSUER", oidcIssuer);
}

/** The statements of infra/deployer-policy.json for a stack. */
export async function deployerStatements(stack: string, oidcIssuer?: string): Promise<readonly Statement[]> {
  return (JSON.parse(await readDocument("deployer-policy.json", stack, oidcIssuer)) as Policy).Statement;
}

/** The policy of infra/deployer-policy.json for a stack, without the actions that are not allowed. */
export async function deployerPolicy(
  stack: string,
  { isAllowed = () => true, oidcIssuer }: DeployerRights = {},
): Promise<string> {
  const all = await deployerStatements(stack, oidcIssuer);
  const statements = all.map((statement) => ({ ...statement, Action: [statement.Action].flat().filter(isAllowed) }));
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: statements.filter(({ Action }) => Action.length > 0),
  });
}

/** The ARN of the permissions boundary of a stack's user and roles. */
export const boundaryArn = (stack: string): string => `arn:aws:iam::${account}:policy/${stack}-boundary`;

/** An IAM user that deploys a stack. */
export interface Deployer {
  readonly key: { readonly AccessKeyId: string; readonly SecretAccessKey: string };
  /** Replaces the user's only policy by a document in JSON. */
  readonly allow: (policy: string) => Promise<void>;
  /** Deletes the user and the stack's boundary. */
  readonly remove: () => Promise<void>;
}

/** Creates a user without any policy, and the boundary for a stack. */
export async function createDeployer(iam: IAMClient, UserName: string, stack: string): Promise<Deployer> {
  const PolicyDocument = await readDocument("permissions-boundary.json", stack);
  await iam.send(new CreatePolicyCommand({ PolicyName: `${stack}-boundary`, PolicyDocument }));
  await iam.send(new CreateUserCommand({ UserName }));
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }));
  const key = { AccessKeyId: AccessKey?.AccessKeyId ?? "", SecretAccessKey: AccessKey?.SecretAccessKey ?? "" };
  const PolicyName = "deployer";
  return {
    key,
    allow: async (PolicyDocument) =>
      void (await iam.send(new PutUserPolicyCommand({ UserName, PolicyName, PolicyDocument }))),
    remove: async () => {
      const { AccessKeyMetadata = [] } = await iam.send(new ListAccessKeysCommand({ UserName }));
      for (const { AccessKeyId } of AccessKeyMetadata) {
        await iam.send(new DeleteAccessKeyCommand({ UserName, AccessKeyId }));
      }
      await iam.send(new DeleteUserPolicyCommand({ UserName, PolicyName }));
      await iam.send(new DeleteUserCommand({ UserName }));
      await iam.send(new DeletePolicyCommand({ PolicyArn: boundaryArn(stack) }));
    },
  };
}
