// The stack's AWS resources, carried out by the AWS SDK: what the AWS provider does, for the types infra/ uses.
import * as ecr from "@aws-sdk/client-ecr";
import * as iam from "@aws-sdk/client-iam";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import type { Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

const clients = () => ({ ecr: new ecr.ECRClient(), iam: new iam.IAMClient(), sts: new STSClient() });
let made: ReturnType<typeof clients> | undefined;
const client = (): ReturnType<typeof clients> => (made ??= clients());

const text = (properties: Properties, key: string): string => String(properties[key]);

/** Gives undefined where AWS answers that there is no such thing. */
const orGone = async <T>(answer: Promise<T>): Promise<T | undefined> =>
  answer.catch((error: unknown) => {
    if (error instanceof Error && /^(NoSuchEntity|.*NotFound)(Exception)?$/.test(error.name)) return undefined;
    throw error;
  });

type Made = { id: string; outputs: Properties };

interface Simple {
  identify: (inputs: Properties) => string;
  /** Inputs that are part of the identity, or cannot be changed. */
  fixed: readonly string[];
  create: (inputs: Properties) => Promise<Properties>;
  read: (id: string, inputs: Properties) => Promise<unknown>;
  change: (inputs: Properties, outputs: Properties) => Promise<Properties>;
  remove: (id: string, inputs: Properties, outputs: Properties) => Promise<unknown>;
}

/** A handler for a type whose id is known before it is made. */
const handler = ({ identify, fixed, create, read, change, remove }: Simple): Handler => ({
  identify,
  create: async (inputs): Promise<Made> => ({
    id: identify(inputs),
    outputs: { ...inputs, ...(await create(inputs)) },
  }),
  exists: async ({ id, inputs }) => (await orGone(read(id, inputs))) !== undefined,
  update: async (live, inputs) =>
    fixed.some((key) => live.inputs[key] !== inputs[key])
      ? undefined
      : { outputs: { ...live.outputs, ...inputs, ...(await change(inputs, live.outputs)) } },
  remove: async ({ id, inputs, outputs }) => void (await orGone(remove(id, inputs, outputs))),
  undo: async (inputs) => void (await orGone(remove(identify(inputs), inputs, {}))),
});

const repository = handler({
  identify: (inputs) => text(inputs, "name"),
  fixed: ["name"],
  create: async (inputs) => {
    const answer = await client().ecr.send(
      new ecr.CreateRepositoryCommand({
        repositoryName: text(inputs, "name"),
        imageScanningConfiguration: inputs["imageScanningConfiguration"] as ecr.ImageScanningConfiguration,
      }),
    );
    const { repositoryArn, repositoryUri, registryId } = answer.repository ?? {};
    return { arn: repositoryArn, repositoryUrl: repositoryUri, registryId };
  },
  read: async (id) => client().ecr.send(new ecr.DescribeRepositoriesCommand({ repositoryNames: [id] })),
  change: async (inputs) => {
    const imageScanningConfiguration = inputs["imageScanningConfiguration"] as ecr.ImageScanningConfiguration;
    const repositoryName = text(inputs, "name");
    await client().ecr.send(
      new ecr.PutImageScanningConfigurationCommand({ repositoryName, imageScanningConfiguration }),
    );
    return {};
  },
  remove: async (id, inputs) =>
    client().ecr.send(new ecr.DeleteRepositoryCommand({ repositoryName: id, force: inputs["forceDelete"] === true })),
});

const ofRepository = (inputs: Properties): { repositoryName: string } => ({
  repositoryName: text(inputs, "repository"),
});

const putRepositoryPolicy = async (inputs: Properties): Promise<Properties> => {
  await client().ecr.send(
    new ecr.SetRepositoryPolicyCommand({ ...ofRepository(inputs), policyText: text(inputs, "policy") }),
  );
  return {};
};

const repositoryPolicy = handler({
  identify: (inputs) => text(inputs, "repository"),
  fixed: ["repository"],
  create: putRepositoryPolicy,
  read: async (_, inputs) => client().ecr.send(new ecr.GetRepositoryPolicyCommand(ofRepository(inputs))),
  change: putRepositoryPolicy,
  remove: async (_, inputs) => client().ecr.send(new ecr.DeleteRepositoryPolicyCommand(ofRepository(inputs))),
});

const putLifecyclePolicy = async (inputs: Properties): Promise<Properties> => {
  const lifecyclePolicyText = text(inputs, "policy");
  await client().ecr.send(new ecr.PutLifecyclePolicyCommand({ ...ofRepository(inputs), lifecyclePolicyText }));
  return {};
};

const lifecyclePolicy = handler({
  identify: (inputs) => text(inputs, "repository"),
  fixed: ["repository"],
  create: putLifecyclePolicy,
  read: async (_, inputs) => client().ecr.send(new ecr.GetLifecyclePolicyCommand(ofRepository(inputs))),
  change: putLifecyclePolicy,
  remove: async (_, inputs) => client().ecr.send(new ecr.DeleteLifecyclePolicyCommand(ofRepository(inputs))),
});

const policyArn = async (name: string): Promise<string> => {
  const { Arn = "" } = await client().sts.send(new GetCallerIdentityCommand());
  const [, partition, , , account] = Arn.split(":");
  return `arn:${String(partition)}:iam::${String(account)}:policy/${name}`;
};

const policy = handler({
  identify: (inputs) => text(inputs, "name"),
  fixed: ["name", "description"],
  create: async (inputs) => {
    const [PolicyName, Description, PolicyDocument] = ["name", "description", "policy"].map((key) => text(inputs, key));
    const answer = await client().iam.send(new iam.CreatePolicyCommand({ PolicyName, Description, PolicyDocument }));
    return { arn: answer.Policy?.Arn };
  },
  read: async (id) => client().iam.send(new iam.GetPolicyCommand({ PolicyArn: await policyArn(id) })),
  change: async (inputs, outputs) => {
    const PolicyArn = text(outputs, "arn");
    // IAM keeps five versions at the most; only the one in force is of use here.
    await deleteOldVersions(PolicyArn);
    const PolicyDocument = text(inputs, "policy");
    await client().iam.send(new iam.CreatePolicyVersionCommand({ PolicyArn, PolicyDocument, SetAsDefault: true }));
    return {};
  },
  remove: async (id) => {
    const PolicyArn = await policyArn(id);
    await deleteOldVersions(PolicyArn);
    await client().iam.send(new iam.DeletePolicyCommand({ PolicyArn }));
  },
});

async function deleteOldVersions(PolicyArn: string): Promise<void> {
  const { Versions = [] } = await client().iam.send(new iam.ListPolicyVersionsCommand({ PolicyArn }));
  for (const { VersionId } of Versions.filter((version) => version.IsDefaultVersion !== true)) {
    await client().iam.send(new iam.DeletePolicyVersionCommand({ PolicyArn, VersionId }));
  }
}

const user = handler({
  identify: (inputs) => text(inputs, "name"),
  fixed: ["name"],
  create: async (inputs) => {
    const answer = await client().iam.send(new iam.CreateUserCommand({ UserName: text(inputs, "name") }));
    return { arn: answer.User?.Arn };
  },
  read: async (id) => client().iam.send(new iam.GetUserCommand({ UserName: id })),
  change: async () => Promise.resolve({}),
  remove: async (id) => client().iam.send(new iam.DeleteUserCommand({ UserName: id })),
});

const attached = (inputs: Properties): { UserName: string; PolicyArn: string } => ({
  UserName: text(inputs, "user"),
  PolicyArn: text(inputs, "policyArn"),
});

const userPolicyAttachment = handler({
  identify: (inputs) => `${text(inputs, "user")}/${text(inputs, "policyArn")}`,
  fixed: ["user", "policyArn"],
  create: async (inputs) => {
    await client().iam.send(new iam.AttachUserPolicyCommand(attached(inputs)));
    return {};
  },
  read: async (_, inputs) => {
    const { UserName, PolicyArn } = attached(inputs);
    const answer = await client().iam.send(new iam.ListAttachedUserPoliciesCommand({ UserName }));
    return answer.AttachedPolicies?.find((one) => one.PolicyArn === PolicyArn);
  },
  change: async () => Promise.resolve({}),
  remove: async (_, inputs) => client().iam.send(new iam.DetachUserPolicyCommand(attached(inputs))),
});

const userKeys = async (UserName: string): Promise<string[]> => {
  const answer = await orGone(client().iam.send(new iam.ListAccessKeysCommand({ UserName })));
  return (answer?.AccessKeyMetadata ?? []).map((key) => key.AccessKeyId ?? "");
};

/** The one type whose id AWS chooses, and whose secret is told once. `known` are the keys that a state file knows. */
export const accessKey = (known: () => readonly string[]): Handler => ({
  identify: () => undefined,
  create: async (inputs) => {
    const answer = await client().iam.send(new iam.CreateAccessKeyCommand({ UserName: text(inputs, "user") }));
    const { AccessKeyId: id = "", SecretAccessKey: secret } = answer.AccessKey ?? {};
    return { id, outputs: { ...inputs, secret } };
  },
  exists: async ({ id, inputs }) => (await userKeys(text(inputs, "user"))).includes(id),
  update: async () => Promise.resolve(undefined),
  remove: async ({ id, inputs }) => {
    await orGone(
      client().iam.send(new iam.DeleteAccessKeyCommand({ UserName: text(inputs, "user"), AccessKeyId: id })),
    );
  },
  // A key whose secret was never written down is of use to nobody.
  undo: async (inputs) => {
    const UserName = text(inputs, "user");
    for (const AccessKeyId of (await userKeys(UserName)).filter((id) => !known().includes(id))) {
      await client().iam.send(new iam.DeleteAccessKeyCommand({ UserName, AccessKeyId }));
    }
  },
});

export const awsHandlers: Readonly<Record<string, Handler>> = {
  "aws:ecr/repository:Repository": repository,
  "aws:ecr/repositoryPolicy:RepositoryPolicy": repositoryPolicy,
  "aws:ecr/lifecyclePolicy:LifecyclePolicy": lifecyclePolicy,
  "aws:iam/policy:Policy": policy,
  "aws:iam/user:User": user,
  "aws:iam/userPolicyAttachment:UserPolicyAttachment": userPolicyAttachment,
};

/** The functions of the AWS provider that infra/ calls, by token. */
export const awsFunctions: Readonly<Record<string, () => Promise<Properties>>> = {
  "aws:index/getCallerIdentity:getCallerIdentity": async () => {
    const { Account: accountId, Arn: arn, UserId: userId } = await client().sts.send(new GetCallerIdentityCommand());
    return { accountId, arn, userId };
  },
  "aws:index/getPartition:getPartition": async () => {
    const { Arn = "" } = await client().sts.send(new GetCallerIdentityCommand());
    return { partition: Arn.split(":")[1] };
  },
  "aws:index/getRegion:getRegion": async () => ({ region: await client().sts.config.region() }),
  "aws:ecr/getAuthorizationToken:getAuthorizationToken": async () => {
    const answer = await client().ecr.send(new ecr.GetAuthorizationTokenCommand());
    const [userName, password] = Buffer.from(answer.authorizationData?.[0]?.authorizationToken ?? "", "base64")
      .toString()
      .split(":");
    return { userName, password };
  },
};
