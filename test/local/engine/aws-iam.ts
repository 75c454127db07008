// The stack's IAM resources, carried out by the AWS SDK.
import * as iam from "@aws-sdk/client-iam";
import { GetCallerIdentityCommand } from "@aws-sdk/client-sts";
import { client, handler, orGone, text } from "./aws-handler.ts";
import type { Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

const policyArn = async (name: string): Promise<string> => {
  const { Arn = "" } = await client().sts.send(new GetCallerIdentityCommand());
  const [, partition, , , account] = Arn.split(":");
  return `arn:${String(partition)}:iam::${String(account)}:policy/${name}`;
};

export const policy: Handler = handler({
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

export const user: Handler = handler({
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

export const userPolicyAttachment: Handler = handler({
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
