// aws:iam/user:User. Rules: terraform-provider-aws internal/service/iam/user.go.
import * as iam from "@aws-sdk/client-iam";
import { resourceType } from "../declared-type.ts";
import { type Change } from "../resource-type.ts";
import type { Properties } from "../values.ts";
import { withContext, undefinedIfGone } from "./errors.ts";
import { lengthBetween, text } from "./inputs.ts";
import type { AwsSession } from "./session.ts";
import { allTags, observedTags, planTags, retag, tagsInput, toTagList } from "./tags.ts";

const validName = (name: string): string | undefined =>
  /^[0-9A-Za-z=,.@\-_+]+$/.test(name)
    ? undefined
    : "must only contain alphanumeric characters, hyphens, underscores, commas, periods, @ symbols, plus and equals signs";

/** The user's current name. UpdateUser may rename a user, but Pulumi's engine never changes the id of a resource. */
const nameOf = (id: string, state: Properties): string => text(state, "name") ?? id;

/** The resource type. Its id is the name with which the user was created. */
export const user = resourceType<AwsSession>({
  schema: {
    name: { type: "string", required: true, autoname: { maxLength: 255 }, validate: validName },
    path: { type: "string", default: "/" },
    permissionsBoundary: { type: "string", validate: lengthBetween(0, 2048) },
    forceDestroy: { type: "boolean", default: false, stateOnly: true },
    tags: tagsInput,
  },
  computed: ["arn", "uniqueId"],
  plan: planTags,
  create: async (inputs, session) => {
    const name = String(inputs["name"]);
    const command = new iam.CreateUserCommand({
      UserName: name,
      Path: text(inputs, "path"),
      PermissionsBoundary: text(inputs, "permissionsBoundary"),
      Tags: toTagList(allTags(inputs, session)),
    });
    await withContext(`creating IAM User (${name})`, session.iam.send(command));
    return { id: name };
  },
  read: async (id, state, session) => {
    // After a rename the id still is the old name.
    const response = session.iam.send(new iam.GetUserCommand({ UserName: nameOf(id, state) }));
    const found = (await withContext(`reading IAM User (${id})`, undefinedIfGone(response)))?.User;
    if (found === undefined) return undefined;
    const properties = {
      arn: found.Arn,
      name: found.UserName,
      path: found.Path,
      permissionsBoundary: found.PermissionsBoundary?.PermissionsBoundaryArn,
      uniqueId: found.UserId,
      ...observedTags(found.Tags, session, state),
    };
    return { id: found.UserName ?? id, properties };
  },
  update,
  remove: async (id, state, session) => {
    const name = nameOf(id, state);
    await leaveGroups(name, session);
    if (state["forceDestroy"] === true) await deleteCredentials(name, session);
    const command = new iam.DeleteUserCommand({ UserName: name });
    await withContext(`deleting IAM User (${name})`, undefinedIfGone(session.iam.send(command)));
  },
});

async function update({ id, state, inputs, changes }: Change, session: AwsSession): Promise<string> {
  const [before, name] = [nameOf(id, state), String(inputs["name"])];
  if (changes("name") || changes("path")) {
    const command = new iam.UpdateUserCommand({ UserName: before, NewUserName: name, NewPath: text(inputs, "path") });
    await withContext(`updating IAM User (${before})`, session.iam.send(command));
  }
  if (changes("permissionsBoundary")) await putBoundary(name, text(inputs, "permissionsBoundary"), session);
  const retagged = retag({ state, inputs }, session, {
    set: async (tags) => session.iam.send(new iam.TagUserCommand({ UserName: name, Tags: toTagList(tags) })),
    remove: async (TagKeys) => session.iam.send(new iam.UntagUserCommand({ UserName: name, TagKeys })),
  });
  await withContext(`updating tags for IAM User (${name})`, retagged);
  return name;
}

async function putBoundary(name: string, boundary: string | undefined, { iam: client }: AwsSession): Promise<void> {
  if (boundary === undefined) {
    const command = new iam.DeleteUserPermissionsBoundaryCommand({ UserName: name });
    await withContext(`deleting IAM User (${name}) permissions boundary`, client.send(command));
    return;
  }
  const command = new iam.PutUserPermissionsBoundaryCommand({ UserName: name, PermissionsBoundary: boundary });
  await withContext(`setting IAM User (${name}) permissions boundary`, client.send(command));
}

/** Removes a user from all groups, because AWS does not delete a member of a group (deleteUserGroupMemberships). */
async function leaveGroups(UserName: string, { iam: client }: AwsSession): Promise<void> {
  const what = `removing IAM User (${UserName}) group memberships`;
  const response = undefinedIfGone(client.send(new iam.ListGroupsForUserCommand({ UserName })));
  for (const { GroupName } of (await withContext(what, response))?.Groups ?? []) {
    await withContext(what, undefinedIfGone(client.send(new iam.RemoveUserFromGroupCommand({ UserName, GroupName }))));
  }
}

/** forceDestroy: deletes a user's keys and password, because AWS does not delete a user that has any (deleteUserAccessKeys, ...). */
async function deleteCredentials(UserName: string, { iam: client }: AwsSession): Promise<void> {
  const what = `removing IAM User (${UserName}) access keys`;
  const response = undefinedIfGone(client.send(new iam.ListAccessKeysCommand({ UserName })));
  for (const { AccessKeyId } of (await withContext(what, response))?.AccessKeyMetadata ?? []) {
    await withContext(what, undefinedIfGone(client.send(new iam.DeleteAccessKeyCommand({ UserName, AccessKeyId }))));
  }
  const profile = undefinedIfGone(client.send(new iam.DeleteLoginProfileCommand({ UserName })));
  await withContext(`removing IAM User (${UserName}) login profile`, profile);
}
