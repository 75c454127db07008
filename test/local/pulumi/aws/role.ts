// aws:iam/role:Role. Rules: terraform-provider-aws internal/service/iam/role.go.
import * as iam from "@aws-sdk/client-iam";
import { resourceType } from "../declared-type.ts";
import { type Change, type Observed } from "../resource-type.ts";
import type { Properties } from "../values.ts";
import { withContext, undefinedIfGone } from "./errors.ts";
import { arnInput, iamName, pathInput, text, timestamp } from "./inputs.ts";
import { iamPolicyInput, normalizeJson, validJson } from "./policy-document.ts";
import { prefixedName, prefixOf } from "./name-prefix.ts";
import type { AwsSession } from "./session.ts";
import { allTags, observedTags, planTags, retag, tagsInput, toTagList } from "./tags.ts";

/** The duration of sessions, in seconds. */
const session = { default: 3600, max: 43_200 };

const validDescription = (value: string): string | undefined => {
  if (value.length > 1000)
    return `expected length to be in the range (0 - 1000), got ${String(value.length)} characters`;
  return /[“‘]/.test(value) ? "cannot contain specially formatted single or double quotes: [“‘]" : undefined;
};

const validDuration = (seconds: number): string | undefined =>
  Number.isInteger(seconds) && seconds >= session.default && seconds <= session.max
    ? undefined
    : `expected to be in the range (${String(session.default)} - ${String(session.max)}), got ${String(seconds)}`;

/** The resource type. Its id is the role's name. */
export const role = resourceType<AwsSession>({
  schema: {
    name: { type: "string", forceNew: true, autoname: { maxLength: 64 }, validate: iamName(64) },
    namePrefix: { type: "string", forceNew: true, computed: true, conflictsWith: "name", validate: iamName(38) },
    path: { ...pathInput, forceNew: true },
    description: { type: "string", validate: validDescription },
    assumeRolePolicy: { ...iamPolicyInput, validate: validJson },
    forceDetachPolicies: { type: "boolean", default: false, stateOnly: true },
    maxSessionDuration: { type: "number", default: session.default, validate: validDuration },
    permissionsBoundary: arnInput,
    inlinePolicies: { type: "objects", computed: true, unsupported: true },
    managedPolicyArns: { type: "set", computed: true, unsupported: true },
    tags: tagsInput,
  },
  computed: ["arn", "createDate", "uniqueId"],
  plan: planTags,
  create: async (inputs, { iam: client, ...rest }) => {
    const name = prefixedName(inputs);
    const command = new iam.CreateRoleCommand({
      RoleName: name,
      AssumeRolePolicyDocument: String(normalizeJson(inputs["assumeRolePolicy"])),
      Path: text(inputs, "path"),
      Description: text(inputs, "description"),
      MaxSessionDuration: Number(inputs["maxSessionDuration"]),
      PermissionsBoundary: text(inputs, "permissionsBoundary"),
      Tags: toTagList(allTags(inputs, { iam: client, ...rest })),
    });
    await withContext(`creating IAM Role (${name})`, client.send(command));
    return { id: name };
  },
  read,
  update,
  remove: async (id, state, { iam: client }) => {
    if (state["forceDetachPolicies"] === true) await detachAll(id, client);
    const command = new iam.DeleteRoleCommand({ RoleName: id });
    await withContext(`deleting IAM Role (${id})`, undefinedIfGone(client.send(command)));
  },
});

async function read(id: string, state: Properties, aws: AwsSession): Promise<Observed | undefined> {
  const what = `reading IAM Role (${id})`;
  const RoleName = id;
  const found = (await withContext(what, undefinedIfGone(aws.iam.send(new iam.GetRoleCommand({ RoleName })))))?.Role;
  if (found === undefined) return undefined;
  const properties = {
    arn: found.Arn,
    assumeRolePolicy: decodeURIComponent(found.AssumeRolePolicyDocument ?? ""),
    createDate: timestamp(found.CreateDate),
    description: found.Description ?? "",
    maxSessionDuration: found.MaxSessionDuration ?? session.default,
    name: found.RoleName,
    namePrefix: prefixOf(found.RoleName),
    path: found.Path,
    permissionsBoundary: found.PermissionsBoundary?.PermissionsBoundaryArn,
    uniqueId: found.RoleId,
    managedPolicyArns: await withContext(what, attachedTo(RoleName, aws.iam)),
    inlinePolicies: [],
    ...observedTags(found.Tags, aws, state),
  };
  return { id, properties };
}

async function attachedTo(RoleName: string, client: iam.IAMClient): Promise<string[]> {
  const attached = await undefinedIfGone(client.send(new iam.ListAttachedRolePoliciesCommand({ RoleName })));
  return (attached?.AttachedPolicies ?? []).map(({ PolicyArn = "" }) => PolicyArn).sort();
}

async function update({ id: RoleName, state, inputs, changes }: Change, aws: AwsSession): Promise<undefined> {
  const { iam: client } = aws;
  const describe = (what: string): string => `updating IAM Role (${RoleName}) ${what}`;
  if (changes("assumeRolePolicy")) {
    const PolicyDocument = String(normalizeJson(inputs["assumeRolePolicy"]));
    const command = new iam.UpdateAssumeRolePolicyCommand({ RoleName, PolicyDocument });
    await withContext(describe("assume role policy"), client.send(command));
  }
  if (changes("description")) {
    const command = new iam.UpdateRoleDescriptionCommand({ RoleName, Description: text(inputs, "description") ?? "" });
    await withContext(describe("description"), client.send(command));
  }
  if (changes("maxSessionDuration")) {
    const MaxSessionDuration = Number(inputs["maxSessionDuration"]);
    await withContext(
      describe("MaxSessionDuration"),
      client.send(new iam.UpdateRoleCommand({ RoleName, MaxSessionDuration })),
    );
  }
  if (changes("permissionsBoundary")) {
    const PermissionsBoundary = text(inputs, "permissionsBoundary");
    const changed =
      PermissionsBoundary === undefined
        ? client.send(new iam.DeleteRolePermissionsBoundaryCommand({ RoleName }))
        : client.send(new iam.PutRolePermissionsBoundaryCommand({ RoleName, PermissionsBoundary }));
    await withContext(describe("permissions boundary"), changed);
  }
  const retagged = retag({ state, inputs }, aws, {
    set: async (tags) => client.send(new iam.TagRoleCommand({ RoleName, Tags: toTagList(tags) })),
    remove: async (TagKeys) => client.send(new iam.UntagRoleCommand({ RoleName, TagKeys })),
  });
  await withContext(`updating tags for IAM Role (${RoleName})`, retagged);
}

/** forceDetachPolicies: detaches and deletes all policies of a role, because AWS does not delete a role that has any. */
async function detachAll(RoleName: string, client: iam.IAMClient): Promise<void> {
  const what = `deleting IAM Role (${RoleName}): detaching policies`;
  for (const PolicyArn of await withContext(what, attachedTo(RoleName, client))) {
    await withContext(what, undefinedIfGone(client.send(new iam.DetachRolePolicyCommand({ RoleName, PolicyArn }))));
  }
  const inline = await withContext(what, undefinedIfGone(client.send(new iam.ListRolePoliciesCommand({ RoleName }))));
  for (const PolicyName of inline?.PolicyNames ?? []) {
    await withContext(what, undefinedIfGone(client.send(new iam.DeleteRolePolicyCommand({ RoleName, PolicyName }))));
  }
}
