// aws:iam/userPolicyAttachment:UserPolicyAttachment and aws:iam/rolePolicyAttachment:RolePolicyAttachment. Rules:
// terraform-provider-aws internal/service/iam/user_policy_attachment.go and role_policy_attachment.go.
import * as iam from "@aws-sdk/client-iam";
import { resourceType } from "../declared-type.ts";
import { type ResourceType } from "../resource-type.ts";
import type { Properties } from "../values.ts";
import { withContext, undefinedIfGone } from "./errors.ts";
import { arnInput, text } from "./inputs.ts";
import type { AwsSession } from "./session.ts";

interface Holder {
  /** The input with its name. */
  readonly key: "user" | "role";
  /** Its name in the messages of the original provider. */
  readonly word: "User" | "Role";
  readonly attach: (name: string, PolicyArn: string, session: AwsSession) => Promise<unknown>;
  readonly list: (
    name: string,
    session: AwsSession,
  ) => Promise<{ AttachedPolicies?: iam.AttachedPolicy[] | undefined }>;
  readonly detach: (name: string, PolicyArn: string, session: AwsSession) => Promise<unknown>;
}

const attachment = ({ key, word, attach, list, detach }: Holder): ResourceType<AwsSession> =>
  resourceType<AwsSession>({
    schema: {
      [key]: { type: "string", required: true, forceNew: true },
      policyArn: { ...arnInput, required: true, forceNew: true },
    },
    computed: [],
    // The new attachment may be equal to the old one, whose later deletion would remove it (pulumi-aws provider/resources.go).
    deleteBeforeReplace: true,
    create: async (inputs, session) => {
      const [name, arn] = [String(inputs[key]), String(inputs["policyArn"])];
      await withContext(`attaching IAM Policy (${arn}) to IAM ${word} (${name})`, attach(name, arn, session));
      return { id: `${name}-${arn}` };
    },
    read: async (id, state, session) => {
      const [name, arn, now] = partsOf(id, state, key);
      const response = withContext(
        `reading IAM ${word} Policy Attachment (${name}:${arn})`,
        undefinedIfGone(list(name, session)),
      );
      const found = (await response)?.AttachedPolicies?.some(({ PolicyArn }) => PolicyArn === arn);
      return found === true ? { id: now, properties: { [key]: name, policyArn: arn } } : undefined;
    },
    remove: async (id, state, session) => {
      const [name, arn] = partsOf(id, state, key);
      const detached = undefinedIfGone(detach(name, arn, session));
      await withContext(`detaching IAM Policy (${arn}) from IAM ${word} (${name})`, detached);
    },
  });

/** The user or role, the policy and the id. The id of an import is `NAME/ARN`, which becomes `NAME-ARN`. */
function partsOf(id: string, state: Properties, key: "user" | "role"): [string, string, string] {
  const known = text(state, key);
  if (known !== undefined) return [known, String(state["policyArn"]), id];
  const [, name, arn] = /^([^/]+)\/(.+)$/.exec(id) ?? [];
  if (name === undefined || arn === undefined) {
    throw new Error(`unexpected format of ID ("${id}"), expected <${key}-name>/<policy_arn>`);
  }
  return [name, arn, `${name}-${arn}`];
}

/** Its id is `USER-ARN`; an import takes `USER/ARN`. */
export const userPolicyAttachment = attachment({
  key: "user",
  word: "User",
  attach: async (UserName, PolicyArn, session) =>
    session.iam.send(new iam.AttachUserPolicyCommand({ UserName, PolicyArn })),
  list: async (UserName, session) => session.iam.send(new iam.ListAttachedUserPoliciesCommand({ UserName })),
  detach: async (UserName, PolicyArn, session) =>
    session.iam.send(new iam.DetachUserPolicyCommand({ UserName, PolicyArn })),
});

/** Its id is `ROLE-ARN`; an import takes `ROLE/ARN`. */
export const rolePolicyAttachment = attachment({
  key: "role",
  word: "Role",
  attach: async (RoleName, PolicyArn, session) =>
    session.iam.send(new iam.AttachRolePolicyCommand({ RoleName, PolicyArn })),
  list: async (RoleName, session) => session.iam.send(new iam.ListAttachedRolePoliciesCommand({ RoleName })),
  detach: async (RoleName, PolicyArn, session) =>
    session.iam.send(new iam.DetachRolePolicyCommand({ RoleName, PolicyArn })),
});
