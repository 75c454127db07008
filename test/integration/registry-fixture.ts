// The local cloud's registry with a gateway of the test's own, two repositories, and a user and a role whose rights a test sets.
import { randomBytes } from "node:crypto";
import { after, before } from "node:test";
import * as ecr from "@aws-sdk/client-ecr";
import * as iam from "@aws-sdk/client-iam";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { account, aws, loopback, otherAccount, ports, registryHost, url } from "../local/settings.ts";
import { rootCredentials } from "../local/root-key.ts";
import { passwordFor, RegistryClient, type Credentials, type CredentialSource } from "../support/registry-client.ts";

Object.assign(process.env, aws);

/** The name of the user and the role, and the prefix of the repositories. */
export const id = `plugin-rights-${randomBytes(3).toString("hex")}`;
/** Two repositories of the account, each with the image `1`. */
export const [repository, other] = [`${id}/app`, `${id}/other`];
/** The ARN of a repository. */
export const arnOf = (name: string, of = account, region = "us-east-1"): string =>
  `arn:aws:ecr:${region}:${of}:repository/${name}`;
/** The ARN of the user. */
export const userArn = `arn:aws:iam::${account}:user/builds/${id}`;
/** The ARN of the role, which the user may assume. */
export const roleArn = `arn:aws:iam::${account}:role/builds/${id}`;

/** The actions that a pull needs. */
export const pulling = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
/** The actions that a push needs. */
export const pushing = [
  "ecr:BatchCheckLayerAvailability",
  "ecr:CompleteLayerUpload",
  "ecr:InitiateLayerUpload",
  "ecr:PutImage",
  "ecr:UploadLayerPart",
];

/** A statement of a policy. */
export type Statement = Record<string, unknown>;
/** Allows actions; in the first repository by default. */
export const allow = (Action: unknown, Resource: unknown = arnOf(repository), more: Statement = {}): Statement => ({
  Effect: "Allow",
  Action,
  Resource,
  ...more,
});
/** Denies actions; everywhere by default. */
export const deny = (Action: unknown, Resource: unknown = "*", more: Statement = {}): Statement => ({
  ...allow(Action, Resource, more),
  Effect: "Deny",
});
/** A policy as JSON. */
export const document = (...Statement: Statement[]): string => JSON.stringify({ Version: "2012-10-17", Statement });
/** A repository's policy that allows a principal to pull and push. */
export const opened = (Principal: unknown, more: Statement = {}): string =>
  document({ Effect: "Allow", Principal, Action: [...pulling, ...pushing], ...more });

/** The registry's error for an action that is denied, and why. */
export const refused = (action: string, why: string, who = userArn, where = arnOf(repository)): string =>
  `403 DENIED User: ${who} is not authorized to perform: ${action} on resource: ${where} ${why}`;
/** The reason of an error where no policy of the principal allows the action. */
export const noIdentity = (action: string): string => `because no identity-based policy allows the ${action} action`;

/** IAM, and ECR behind the gateway, as the account's root. */
export const clients = { iam: new iam.IAMClient(), ecr: new ecr.ECRClient() };
/** The gateway; set by the hook of `useRegistryFixture`. */
export let gateway: Gateway;
/** The user's access key; set by the hook of `useRegistryFixture`. */
export let user: Credentials;

/** Sets the user's only policy: these statements, and the right to get a token. */
export const inline = async (...statements: Statement[]): Promise<void> => {
  const PolicyDocument = document(allow("ecr:GetAuthorizationToken", "*"), ...statements);
  await clients.iam.send(new iam.PutUserPolicyCommand({ UserName: id, PolicyName: "inline", PolicyDocument }));
};
/** Sets a repository's policy, or deletes it. */
export const ofRepository = async (policyText: string | undefined, repositoryName = repository): Promise<void> => {
  if (policyText !== undefined) {
    await clients.ecr.send(new ecr.SetRepositoryPolicyCommand({ repositoryName, policyText }));
  } else {
    await clients.ecr.send(new ecr.DeleteRepositoryPolicyCommand({ repositoryName }));
  }
};
/** A client of the registry with a new token of these credentials. */
export const client = async (of: CredentialSource = user, host?: string): Promise<RegistryClient> =>
  new RegistryClient(gateway.registry, await passwordFor(of, { api: gateway.api }), host);
/** Pulls the image; resolves with `pulled` or the error. */
export const pull = async (of?: Credentials, host?: string): Promise<string> =>
  (await client(of, host)).pull(repository, "1").then(
    () => "pulled",
    (error: unknown) => (error as Error).message,
  );
/** Pushes an image; resolves with `pushed` or the error. */
export const push = async (tag = "2", of?: Credentials): Promise<string> =>
  (await client(of)).push(repository, tag, `layer of ${tag}`).then(
    () => "pushed",
    (error: unknown) => (error as Error).message,
  );

/** Creates the repository with the image `tag` in the other account, too, and deletes it there after `use`. */
export async function withForeignRepository(tag: string, use: (theirs: ecr.ECRClient) => Promise<void>): Promise<void> {
  const theirs = new ecr.ECRClient({ credentials: rootCredentials(otherAccount) });
  await theirs.send(new ecr.CreateRepositoryCommand({ repositoryName: repository }));
  try {
    const theirClient = await client(rootCredentials(otherAccount), registryHost(otherAccount));
    await theirClient.push(repository, tag, "their layer");
    await use(theirs);
  } finally {
    await theirs.send(new ecr.DeleteRepositoryCommand({ repositoryName: repository, force: true }));
  }
}

/** Creates everything before the tests of a suite, and deletes it after them. */
export function useRegistryFixture(): void {
  before(createFixture);
  after(removeFixture);
}

async function createFixture(): Promise<void> {
  const any = { address: loopback, port: 0 };
  gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any });
  clients.ecr = new ecr.ECRClient({ endpoint: url(gateway.api) });
  await clients.iam.send(new iam.CreateUserCommand({ UserName: id, Path: "/builds/" }));
  const { AccessKey: key } = await clients.iam.send(new iam.CreateAccessKeyCommand({ UserName: id }));
  user = { accessKeyId: key?.AccessKeyId ?? "", secretAccessKey: key?.SecretAccessKey ?? "" };
  const AssumeRolePolicyDocument = document({
    Effect: "Allow",
    Principal: { AWS: userArn },
    Action: "sts:AssumeRole",
  });
  const role = { RoleName: id, Path: "/builds/", AssumeRolePolicyDocument };
  await clients.iam.send(new iam.CreateRoleCommand(role));
  for (const repositoryName of [repository, other]) {
    const tags = [{ Key: "team", Value: "a" }];
    await clients.ecr.send(new ecr.CreateRepositoryCommand({ repositoryName, tags }));
    await (await client(rootCredentials(account))).push(repositoryName, "1", "the first layer");
  }
}

async function removeFixture(): Promise<void> {
  try {
    for (const repositoryName of [repository, other]) {
      await clients.ecr.send(new ecr.DeleteRepositoryCommand({ repositoryName, force: true }));
    }
    await clients.iam.send(new iam.DeleteUserPolicyCommand({ UserName: id, PolicyName: "inline" }));
    const { PolicyNames = [] } = await clients.iam.send(new iam.ListRolePoliciesCommand({ RoleName: id }));
    for (const PolicyName of PolicyNames) {
      await clients.iam.send(new iam.DeleteRolePolicyCommand({ RoleName: id, PolicyName }));
    }
    await clients.iam.send(new iam.DeleteRoleCommand({ RoleName: id }));
    await clients.iam.send(new iam.DeleteAccessKeyCommand({ UserName: id, AccessKeyId: user.accessKeyId }));
    await clients.iam.send(new iam.DeleteUserCommand({ UserName: id }));
  } finally {
    // A server that listens would keep the process from ending.
    await gateway.close();
  }
}
