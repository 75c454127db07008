// The repository policies that other accounts have to set, so that the helper's credentials work for their
// repositories.
import { literalArn } from "./config/aws-names.ts";
import {
  covers,
  imageArns,
  patternsIn,
  pullActions,
  pushActions,
  registriesOf,
  type ImageRights,
} from "./image-rights.ts";
import { hostOfRegistry, type Registry } from "./registry.ts";

interface Statement {
  readonly Sid: "EcrHelperPull" | "EcrHelperPush";
  readonly Effect: "Allow";
  readonly Principal: { readonly AWS: string };
  readonly Action: readonly string[];
  readonly Condition?: { readonly ArnEquals: { readonly "aws:PrincipalArn": readonly string[] } };
}

/**
 * The policy that another account sets on each repository that matches a pattern. A repository that matches several
 * patterns needs only one of their policies: one that allows pushing, if there is one.
 */
export interface CrossAccountPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement[];
}

/** The IAM principals that request tokens, as ARNs. */
export interface TokenPrincipals {
  /** The helper's user or role; undefined if the stack does not know it. */
  readonly helper: string | undefined;
  /** The role that pushes; undefined if nothing is pushed. */
  readonly pushRole: string | undefined;
}

/**
 * The repository policies that other accounts have to set, by the registry's standard host (whichever of its hosts are
 * configured) and then by the pattern of repository names; undefined if there are none.
 */
export function crossAccountPolicies(
  rights: ImageRights,
  principals: TokenPrincipals,
): Readonly<Record<string, Readonly<Record<string, CrossAccountPolicy>>>> | undefined {
  const policiesByHost = registriesOf(rights).flatMap((registry) => {
    if (registry.accountId === rights.own.accountId) return [];
    const pushPatterns = patternsIn(registry, rights.pushRepositories);
    const pullPatterns = patternsIn(registry, [...rights.pullRepositories, ...imageArns(rights)]);
    const patterns = new Set([...pullPatterns, ...pushPatterns]);
    const policies = [...patterns].map((pattern) => {
      const isPushed = pushPatterns.some((one) => covers(one, pattern));
      return [pattern, crossAccountPolicy(rights.own, principals, isPushed)] as const;
    });
    return policies.length === 0 ? [] : [[hostOfRegistry(registry), Object.fromEntries(policies)] as const];
  });
  return policiesByHost.length === 0 ? undefined : Object.fromEntries(policiesByHost);
}

/**
 * The principal is the root of the helper's account, and a condition limits it to exactly the helper. A user or role as
 * the principal itself must exist already, or ECR rejects the policy; and once it is deleted, IAM replaces it by its
 * unique id, so that a new user or role of the same name is denied.
 */
function crossAccountPolicy(
  own: Registry,
  { helper, pushRole }: TokenPrincipals,
  isPushed: boolean,
): CrossAccountPolicy {
  const statement = (
    Sid: Statement["Sid"],
    Action: readonly string[],
    principalArns: readonly string[] | undefined,
  ): Statement => ({
    Sid,
    Effect: "Allow",
    Principal: { AWS: `arn:${own.partition}:iam::${own.accountId}:root` },
    Action,
    ...(principalArns === undefined
      ? {}
      : { Condition: { ArnEquals: { "aws:PrincipalArn": principalArns.map(literalArn) } } }),
  });
  const pushPrincipals = pushRole === undefined ? [] : [pushRole];
  // Builds also pull with the login that pushes.
  const pull = statement("EcrHelperPull", pullActions, helper === undefined ? undefined : [helper, ...pushPrincipals]);
  const push = statement("EcrHelperPush", pushActions, pushPrincipals);
  return { Version: "2012-10-17", Statement: isPushed ? [pull, push] : [pull] };
}
