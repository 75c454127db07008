// Evaluates one action on one resource as IAM does: by the principal's policies, its permissions boundary, its session policy and the
// resource's policy, with the condition keys that AWS has for the action.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
import { getDenialReasons, runSimulation, type RequestDenial } from "@cloud-copilot/iam-simulate";
import type { Policies, Principal } from "./principal.ts";

/** A tag in the form of IAM and ECR. */
export interface Tag {
  readonly Key?: string | undefined;
  readonly Value?: string | undefined;
}

/** One action to be evaluated. */
export interface AuthorizationQuery {
  readonly principal: Principal;
  /** The address that the request comes from. */
  readonly address: string;
  /** The region that the request is signed for. */
  readonly region: string;
  /** The action's name in policies: `ecr:PutImage`. */
  readonly action: string;
  /** An ARN; `*` for an action that takes no resource. */
  readonly resource: string;
  /** The id of the resource's account, 12 digits. */
  readonly account: string;
  /** Condition keys of the request and of the resource. Keys that the action does not support are ignored, as AWS does. */
  readonly context: Readonly<Record<string, string | string[]>>;
  readonly resourcePolicy?: unknown;
}

/** Why an action is denied, in the words of AWS; undefined where it is allowed. Rejects where a policy is invalid. */
export async function denialReason(question: AuthorizationQuery, policies: Policies): Promise<string | undefined> {
  const { principal, action, resource, account, resourcePolicy } = question;
  const { identity, boundary, session } = policies;
  const simulated = await runSimulation(
    {
      request: {
        principal: principal.arn,
        action,
        resource: { resource, accountId: account },
        contextVariables: {
          ...contextOfPrincipal(principal, policies),
          ...contextOfRequest(question),
          ...question.context,
        },
      },
      identityPolicies: [...identity],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      ...(boundary === undefined ? {} : { permissionBoundaryPolicies: [...boundary] }),
      ...(session === undefined ? {} : { sessionPolicy: session }),
      ...(resourcePolicy === undefined ? {} : { resourcePolicy }),
    },
    {},
  );
  if (simulated.resultType === "error")
    throw new Error(`${action} on ${resource} cannot be evaluated: ${JSON.stringify(simulated.errors)}`);
  if (simulated.overallResult === "Allowed") return undefined;
  const analyses = simulated.resultType === "single" ? [simulated.result] : simulated.results;
  const denials = analyses.flatMap(({ analysis }) => getDenialReasons(analysis));
  return describeDenial(action, denials, principal.account === account);
}

/** The reason in AWS' message: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html */
export function describeDenial(action: string, denials: readonly RequestDenial[], isOwnAccount: boolean): string {
  const kinds: Readonly<Record<string, string>> = { pb: "permissions boundary", session: "session policy" };
  const explicit = denials.find(({ denialType }) => denialType === "Explicit");
  const implicit = denials.find(({ policyType }) => policyType in kinds) ?? denials[0];
  // For access across accounts the evaluator reports no policy type where the repository has no policy.
  const of = (explicit ?? implicit)?.policyType ?? (isOwnAccount ? "session" : "resource");
  const kind = kinds[of] ?? `${of}-based policy`;
  const article = /^[aeiou]/.test(kind) ? "an" : "a";
  return explicit === undefined
    ? `because no ${kind} allows the ${action} action`
    : `with an explicit deny in ${article} ${kind}`;
}

/** The condition keys of the principal: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html */
function contextOfPrincipal(
  { arn, kind, account, name, id, session }: Principal,
  { principalArn, tags }: Policies,
): Record<string, string> {
  const isSession = kind === "session";
  return {
    "aws:PrincipalArn": principalArn,
    "aws:PrincipalAccount": account,
    "aws:PrincipalType": { root: "Account", user: "User", session: "AssumedRole" }[kind],
    "aws:PrincipalIsAWSService": "false",
    "aws:userid": isSession ? `${id}:${arn.split("/").at(-1) ?? ""}` : id,
    ...(kind === "user" ? { "aws:username": name } : {}),
    ...(session === undefined ? {} : { "aws:TokenIssueTime": session.since, "aws:MultiFactorAuthPresent": "false" }),
    ...tagContext(["aws:PrincipalTag"], tags),
  };
}

const contextOfRequest = ({ address, region }: AuthorizationQuery): Record<string, string> => ({
  "aws:RequestedRegion": region,
  "aws:CurrentTime": new Date().toISOString(),
  "aws:SecureTransport": "true",
  "aws:SourceIp": address,
  "aws:ViaAWSService": "false",
});

/** Tags as condition keys, such as `aws:ResourceTag/KEY` for the key `aws:ResourceTag`. */
export const tagContext = (keys: readonly string[], tags: readonly Tag[]): Record<string, string> =>
  Object.fromEntries(keys.flatMap((key) => tags.map(({ Key = "", Value = "" }) => [`${key}/${Key}`, Value])));
