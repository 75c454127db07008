// aws:iam/policy:Policy. Rules: terraform-provider-aws internal/service/iam/policy.go.
import * as iam from "@aws-sdk/client-iam";
import { setTimeout as delay } from "node:timers/promises";
import { resourceType } from "../declared-type.ts";
import { type Change, type Observed } from "../resource-type.ts";
import type { Properties } from "../values.ts";
import { withContext, undefinedIfGone } from "./errors.ts";
import { iamName, text } from "./inputs.ts";
import { iamPolicyInput, normalizeJson } from "./policy-document.ts";
import { prefixedName, prefixOf } from "./name-prefix.ts";
import type { AwsSession } from "./session.ts";
import { allTags, observedTags, planTags, retag, tagsInput, toTagList } from "./tags.ts";

/** The number of versions that IAM keeps (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html). */
const maxVersions = 5;

/** The resource type. Its id is the policy's ARN. */
export const policy = resourceType<AwsSession>({
  schema: {
    name: { type: "string", forceNew: true, autoname: { maxLength: 128 }, validate: iamName(128) },
    namePrefix: { type: "string", forceNew: true, computed: true, conflictsWith: "name", validate: iamName(102) },
    path: { type: "string", default: "/", forceNew: true },
    description: { type: "string", forceNew: true },
    policy: iamPolicyInput,
    delayAfterPolicyCreationInMs: { type: "number", stateOnly: true },
    tags: tagsInput,
  },
  computed: ["arn", "attachmentCount", "policyId"],
  plan: planTags,
  create: async (inputs, session) => {
    const name = prefixedName(inputs);
    const command = new iam.CreatePolicyCommand({
      PolicyName: name,
      Path: text(inputs, "path"),
      Description: text(inputs, "description"),
      PolicyDocument: String(normalizeJson(inputs["policy"])),
      Tags: toTagList(allTags(inputs, session)),
    });
    const { Policy } = await withContext(`creating IAM Policy (${name})`, session.iam.send(command));
    return { id: Policy?.Arn ?? "" };
  },
  read,
  update: async (change, session) => {
    if (change.changes("policy")) await putVersion(change, session);
    const PolicyArn = change.id;
    const retagged = retag(change, session, {
      set: async (tags) => session.iam.send(new iam.TagPolicyCommand({ PolicyArn, Tags: toTagList(tags) })),
      remove: async (TagKeys) => session.iam.send(new iam.UntagPolicyCommand({ PolicyArn, TagKeys })),
    });
    await withContext(`updating tags for IAM Policy (${PolicyArn})`, retagged);
    return undefined;
  },
  remove: async (PolicyArn, _, session) => {
    const versions = (await versionsOf(PolicyArn, session)) ?? [];
    for (const { VersionId } of versions.filter((version) => version.IsDefaultVersion !== true)) {
      await deleteVersion(PolicyArn, VersionId, session);
    }
    const command = new iam.DeletePolicyCommand({ PolicyArn });
    await withContext(`deleting IAM Policy (${PolicyArn})`, undefinedIfGone(session.iam.send(command)));
  },
});

async function read(id: string, state: Properties, session: AwsSession): Promise<Observed | undefined> {
  const what = `reading IAM Policy (${id})`;
  const response = session.iam.send(new iam.GetPolicyCommand({ PolicyArn: id }));
  const found = (await withContext(what, undefinedIfGone(response)))?.Policy;
  if (found === undefined) return undefined;
  const wanted = { PolicyArn: id, VersionId: found.DefaultVersionId };
  const version = await withContext(what, undefinedIfGone(session.iam.send(new iam.GetPolicyVersionCommand(wanted))));
  if (version === undefined) return undefined;
  const properties = {
    arn: found.Arn,
    attachmentCount: found.AttachmentCount,
    description: found.Description ?? "",
    name: found.PolicyName,
    namePrefix: prefixOf(found.PolicyName),
    path: found.Path,
    policyId: found.PolicyId,
    policy: decodeURIComponent(version.PolicyVersion?.Document ?? ""),
    ...observedTags(found.Tags, session, state),
  };
  return { id, properties };
}

async function putVersion({ id: PolicyArn, inputs }: Change, session: AwsSession): Promise<void> {
  await prune(PolicyArn, session);
  const wait = Number(inputs["delayAfterPolicyCreationInMs"] ?? 0);
  const command = new iam.CreatePolicyVersionCommand({
    PolicyArn,
    PolicyDocument: String(normalizeJson(inputs["policy"])),
    SetAsDefault: wait === 0,
  });
  const { PolicyVersion } = await withContext(`updating IAM Policy (${PolicyArn})`, session.iam.send(command));
  if (wait === 0) return;
  await delay(wait);
  const chosen = new iam.SetDefaultPolicyVersionCommand({ PolicyArn, VersionId: PolicyVersion?.VersionId });
  await withContext(`setting Default Policy version for IAM Policy (${PolicyArn})`, session.iam.send(chosen));
}

/** Deletes the oldest version that is not the default if there is no room for another one (policyPruneVersions). */
async function prune(PolicyArn: string, session: AwsSession): Promise<void> {
  const versions = (await versionsOf(PolicyArn, session)) ?? [];
  if (versions.length < maxVersions) return;
  const time = ({ CreateDate }: iam.PolicyVersion): number => CreateDate?.getTime() ?? 0;
  const number = ({ VersionId = "" }: iam.PolicyVersion): number => Number(VersionId.slice(1));
  const [oldest] = versions
    .filter((version) => version.IsDefaultVersion !== true)
    .sort((a, b) => time(a) - time(b) || number(a) - number(b));
  if (oldest !== undefined) await deleteVersion(PolicyArn, oldest.VersionId, session);
}

async function versionsOf(PolicyArn: string, session: AwsSession): Promise<iam.PolicyVersion[] | undefined> {
  const response = session.iam.send(new iam.ListPolicyVersionsCommand({ PolicyArn }));
  return (await withContext(`reading IAM Policy (${PolicyArn}) versions`, undefinedIfGone(response)))?.Versions;
}

async function deleteVersion(PolicyArn: string, VersionId: string | undefined, session: AwsSession): Promise<void> {
  const response = session.iam.send(new iam.DeletePolicyVersionCommand({ PolicyArn, VersionId }));
  await withContext(`deleting IAM Policy (${PolicyArn}) version (${String(VersionId)})`, undefinedIfGone(response));
}
