// The stack's IAM resources, carried out by the AWS SDK.
import * as iam from "@aws-sdk/client-iam";
import { GetCallerIdentityCommand } from "@aws-sdk/client-sts";
import { client, handler, orGone, retagging, tagsOf, text } from "./aws-handler.ts";
import { LocalCloudError } from "../process.ts";
import { cameOf, type Handler } from "./handler.ts";
import type { Properties } from "./state.ts";

/** An ARN of this account; `resource` is a type with a name, such as policy/NAME. */
const arnOf = async (resource: string): Promise<string> => {
  const { Arn = "" } = await client().sts.send(new GetCallerIdentityCommand());
  const [, partition, , , account] = Arn.split(":");
  return `arn:${String(partition)}:iam::${String(account)}:${resource}`;
};

const optional = (inputs: Properties, key: string): string | undefined => inputs[key] as string | undefined;

const policyArn = async (inputs: Properties): Promise<string> =>
  arnOf(`policy${optional(inputs, "path") ?? "/"}${text(inputs, "name")}`);

export const policy: Handler = handler({
  identify: (inputs) => text(inputs, "name"),
  fixed: ["name", "description", "path"],
  create: async (inputs) => {
    const [PolicyName, Description, PolicyDocument] = ["name", "description", "policy"].map((key) => text(inputs, key));
    const named = { PolicyName, Description, PolicyDocument, Path: optional(inputs, "path"), Tags: tagsOf(inputs) };
    return { arn: (await client().iam.send(new iam.CreatePolicyCommand(named))).Policy?.Arn };
  },
  read: async (_, inputs) => {
    const found = await client().iam.send(new iam.GetPolicyCommand({ PolicyArn: await policyArn(inputs) }));
    return { created: found.Policy?.CreateDate };
  },
  change: async (inputs, old) => {
    const PolicyArn = text(old, "arn");
    const { set, gone } = retagging(old, inputs);
    if (set.length > 0) await client().iam.send(new iam.TagPolicyCommand({ PolicyArn, Tags: set }));
    if (gone.length > 0) await client().iam.send(new iam.UntagPolicyCommand({ PolicyArn, TagKeys: gone }));
    if (inputs["policy"] === old["policy"]) return {};
    // IAM keeps five versions at the most; only the one in force is of use here.
    await deleteOldVersions(PolicyArn);
    const PolicyDocument = text(inputs, "policy");
    await client().iam.send(new iam.CreatePolicyVersionCommand({ PolicyArn, PolicyDocument, SetAsDefault: true }));
    return {};
  },
  remove: async (_, inputs) => {
    const PolicyArn = await policyArn(inputs);
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
  fixed: ["name", "path"],
  create: async (inputs) => {
    const [Path, PermissionsBoundary] = ["path", "permissionsBoundary"].map((key) => optional(inputs, key));
    const named = { UserName: text(inputs, "name"), Path, PermissionsBoundary, Tags: tagsOf(inputs) };
    return { arn: (await client().iam.send(new iam.CreateUserCommand(named))).User?.Arn };
  },
  read: async (id) => ({
    created: (await client().iam.send(new iam.GetUserCommand({ UserName: id }))).User?.CreateDate,
  }),
  change: async (inputs, old) => {
    const UserName = text(inputs, "name");
    const { set, gone } = retagging(old, inputs);
    if (set.length > 0) await client().iam.send(new iam.TagUserCommand({ UserName, Tags: set }));
    if (gone.length > 0) await client().iam.send(new iam.UntagUserCommand({ UserName, TagKeys: gone }));
    const PermissionsBoundary = optional(inputs, "permissionsBoundary");
    if (PermissionsBoundary !== undefined)
      await client().iam.send(new iam.PutUserPermissionsBoundaryCommand({ UserName, PermissionsBoundary }));
    else if (old["permissionsBoundary"] !== undefined)
      await client().iam.send(new iam.DeleteUserPermissionsBoundaryCommand({ UserName }));
    return { permissionsBoundary: PermissionsBoundary };
  },
  remove: async (id) => client().iam.send(new iam.DeleteUserCommand({ UserName: id })),
});

export const role: Handler = handler({
  identify: (inputs) => text(inputs, "name"),
  fixed: ["name", "path"],
  create: async (inputs) => {
    const [Path, PermissionsBoundary, Description] = ["path", "permissionsBoundary", "description"].map((key) =>
      optional(inputs, key),
    );
    const named = { RoleName: text(inputs, "name"), Path, PermissionsBoundary, Description, Tags: tagsOf(inputs) };
    const AssumeRolePolicyDocument = text(inputs, "assumeRolePolicy");
    const { Role } = await client().iam.send(new iam.CreateRoleCommand({ ...named, AssumeRolePolicyDocument }));
    return { arn: Role?.Arn };
  },
  read: async (id) => ({
    created: (await client().iam.send(new iam.GetRoleCommand({ RoleName: id }))).Role?.CreateDate,
  }),
  change: async (inputs, old) => {
    const RoleName = text(inputs, "name");
    const PolicyDocument = text(inputs, "assumeRolePolicy");
    await client().iam.send(new iam.UpdateAssumeRolePolicyCommand({ RoleName, PolicyDocument }));
    const { set, gone } = retagging(old, inputs);
    if (set.length > 0) await client().iam.send(new iam.TagRoleCommand({ RoleName, Tags: set }));
    if (gone.length > 0) await client().iam.send(new iam.UntagRoleCommand({ RoleName, TagKeys: gone }));
    const PermissionsBoundary = optional(inputs, "permissionsBoundary");
    if (PermissionsBoundary !== undefined)
      await client().iam.send(new iam.PutRolePermissionsBoundaryCommand({ RoleName, PermissionsBoundary }));
    else if (old["permissionsBoundary"] !== undefined)
      await client().iam.send(new iam.DeleteRolePermissionsBoundaryCommand({ RoleName }));
    return { permissionsBoundary: PermissionsBoundary };
  },
  remove: async (id) => client().iam.send(new iam.DeleteRoleCommand({ RoleName: id })),
});

interface Attached {
  UserName: string;
  RoleName: string;
  PolicyArn: string;
}
type AttachmentCall = (to: Attached) => Promise<unknown>;
type AttachmentList = (to: Attached) => Promise<{ AttachedPolicies?: iam.AttachedPolicy[] | undefined }>;

/** A handler for what attaches the policy to a user or a role. */
function attachment(
  to: "user" | "role",
  attach: AttachmentCall,
  list: AttachmentList,
  detach: AttachmentCall,
): Handler {
  const attached = (inputs: Properties): Attached => ({
    UserName: text(inputs, to),
    RoleName: text(inputs, to),
    PolicyArn: text(inputs, "policyArn"),
  });
  return handler({
    identify: (inputs) => `${text(inputs, to)}/${text(inputs, "policyArn")}`,
    fixed: [to, "policyArn"],
    create: async (inputs) => attach(attached(inputs)).then(() => ({})),
    read: async (_, inputs) => {
      const wanted = attached(inputs);
      const { AttachedPolicies = [] } = await list(wanted);
      const isAttached = AttachedPolicies.some(({ PolicyArn }) => PolicyArn === wanted.PolicyArn);
      return isAttached ? { created: undefined } : undefined;
    },
    change: async () => Promise.resolve({}),
    remove: async (_, inputs) => detach(attached(inputs)),
  });
}

export const userPolicyAttachment = attachment(
  "user",
  async (to) => client().iam.send(new iam.AttachUserPolicyCommand(to)),
  async (to) => client().iam.send(new iam.ListAttachedUserPoliciesCommand(to)),
  async (to) => client().iam.send(new iam.DetachUserPolicyCommand(to)),
);

export const rolePolicyAttachment = attachment(
  "role",
  async (to) => client().iam.send(new iam.AttachRolePolicyCommand(to)),
  async (to) => client().iam.send(new iam.ListAttachedRolePoliciesCommand(to)),
  async (to) => client().iam.send(new iam.DetachRolePolicyCommand(to)),
);

const providerArn = async (inputs: Properties): Promise<string> =>
  arnOf(`oidc-provider/${text(inputs, "url").replace("https://", "")}`);

export const openIdConnectProvider: Handler = handler({
  identify: (inputs) => text(inputs, "url"),
  fixed: ["url"],
  create: async (inputs) => {
    const ClientIDList = inputs["clientIdLists"] as string[];
    const named = { Url: text(inputs, "url"), ClientIDList, Tags: tagsOf(inputs) };
    const made = await client().iam.send(new iam.CreateOpenIDConnectProviderCommand(named));
    return { arn: made.OpenIDConnectProviderArn };
  },
  read: async (_, inputs) => {
    const wanted = { OpenIDConnectProviderArn: await providerArn(inputs) };
    return { created: (await client().iam.send(new iam.GetOpenIDConnectProviderCommand(wanted))).CreateDate };
  },
  change: async (inputs, old) => {
    const OpenIDConnectProviderArn = text(old, "arn");
    const { set, gone } = retagging(old, inputs);
    const provider = { OpenIDConnectProviderArn };
    if (set.length > 0) await client().iam.send(new iam.TagOpenIDConnectProviderCommand({ ...provider, Tags: set }));
    if (gone.length > 0)
      await client().iam.send(new iam.UntagOpenIDConnectProviderCommand({ ...provider, TagKeys: gone }));
    return {};
  },
  remove: async (_, inputs) =>
    client().iam.send(
      new iam.DeleteOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: await providerArn(inputs) }),
    ),
});

/** What the function getOpenIdConnectProvider gives, of a provider by its ARN or its issuer's URL. */
export async function findOpenIdConnectProvider(wanted: Properties): Promise<Properties> {
  const arn = optional(wanted, "arn") ?? (await providerArn(wanted));
  const found = await client().iam.send(new iam.GetOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: arn }));
  return { arn, url: found.Url?.replace("https://", ""), clientIdLists: found.ClientIDList ?? [] };
}

const userKeys = async (UserName: string): Promise<{ id: string; created: Date | undefined }[]> => {
  const answer = await orGone(client().iam.send(new iam.ListAccessKeysCommand({ UserName })));
  return (answer?.AccessKeyMetadata ?? []).map(({ AccessKeyId: id = "", CreateDate: created }) => ({ id, created }));
};

/** The one type whose id AWS chooses, and whose secret is told once. `known` are the keys that a state file knows. */
export const accessKey = (known: () => readonly string[]): Handler => ({
  identify: () => undefined,
  create: async (inputs) => {
    const UserName = text(inputs, "user");
    const answer = await client()
      .iam.send(new iam.CreateAccessKeyCommand({ UserName }))
      .catch(async (error: unknown) => {
        if (!(error instanceof iam.LimitExceededException)) throw error;
        const foreign = (await userKeys(UserName)).map(({ id }) => id).filter((id) => !known().includes(id));
        const remedy = `delete ${foreign.join(" or ")}, which the stack did not make`;
        throw new LocalCloudError(`${error.message}. Remedy: ${remedy}, and run the command again`, { cause: error });
      });
    const { AccessKeyId: id = "", SecretAccessKey: secret } = answer.AccessKey ?? {};
    return { id, outputs: { ...inputs, secret } };
  },
  exists: async ({ id, inputs }) => (await userKeys(text(inputs, "user"))).some((key) => key.id === id),
  update: async () => Promise.resolve(undefined),
  remove: async ({ id, inputs }) => {
    await orGone(
      client().iam.send(new iam.DeleteAccessKeyCommand({ UserName: text(inputs, "user"), AccessKeyId: id })),
    );
  },
  // A key whose secret was never written down is of use to nobody.
  undo: async ({ inputs, since }) => {
    const UserName = text(inputs, "user");
    const unknown = (await userKeys(UserName)).filter(({ id }) => !known().includes(id));
    for (const { id: AccessKeyId } of unknown.filter(({ created }) => cameOf({ since }, created))) {
      await client().iam.send(new iam.DeleteAccessKeyCommand({ UserName, AccessKeyId }));
    }
  },
});
