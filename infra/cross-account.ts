// What other accounts have to set on their repositories, so that the helper's credentials open them: as pure documents.
import { literalArn } from "./config/aws-names.ts";
import { covers, patternsIn, pullActions, pushActions, type ImageRights } from "./image-rights.ts";
import { registryOfHost, type Registry } from "./registry.ts";

interface Statement {
  readonly Sid: "EcrHelperPull" | "EcrHelperPush";
  readonly Effect: "Allow";
  readonly Principal: { readonly AWS: string };
  readonly Action: readonly string[];
  readonly Condition?: { readonly ArnEquals: { readonly "aws:PrincipalArn": readonly string[] } };
}

/**
 * What another account sets on the repositories of a pattern, so that the helper's credentials open them. A repository that
 * several patterns match needs one of theirs: one that has pushing in it, where there is one.
 */
export interface CrossAccountPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement[];
}

/** The ARNs of who asks for tokens: the helper, undefined where the stack does not know it, and the role that pushes. */
export interface Askers {
  readonly helper: string | undefined;
  /** Undefined where nothing is pushed. */
  readonly pushRole: string | undefined;
}

/**
 * The repository policies that other accounts have to set, by the registry's host and the pattern of repositories; `undefined`
 * where there are none.
 */
export function crossAccountPolicies(
  rights: ImageRights,
  askers: Askers,
): Readonly<Record<string, Readonly<Record<string, CrossAccountPolicy>>>> | undefined {
  const ofHosts = rights.registries.flatMap((host) => {
    const registry = registryOfHost(host);
    if (registry === undefined || registry.accountId === rights.own.accountId) return [];
    const pushed = patternsIn(registry, rights.pushRepositories);
    const all = new Set([...patternsIn(registry, rights.pullRepositories), ...pushed]);
    const policies = [...all].map((pattern) => {
      const isPushed = pushed.some((one) => covers(one, pattern));
      return [pattern, crossAccountPolicy(rights.own, askers, isPushed)] as const;
    });
    return policies.length === 0 ? [] : [[host, Object.fromEntries(policies)] as const];
  });
  return ofHosts.length === 0 ? undefined : Object.fromEntries(ofHosts);
}

/**
 * The root of the helper's account, with the condition that it is the helper who asks: that names exactly the helper. A
 * user or role that is named as the principal itself must be there already, or ECR refuses the policy; and when it is
 * deleted IAM writes its unique id in its place, so that one that is made anew under the name is refused.
 */
function crossAccountPolicy(own: Registry, { helper, pushRole }: Askers, isPushed: boolean): CrossAccountPolicy {
  const statement = (
    Sid: Statement["Sid"],
    Action: readonly string[],
    who: readonly string[] | undefined,
  ): Statement => ({
    Sid,
    Effect: "Allow",
    Principal: { AWS: `arn:${own.partition}:iam::${own.accountId}:root` },
    Action,
    ...(who === undefined ? {} : { Condition: { ArnEquals: { "aws:PrincipalArn": who.map(literalArn) } } }),
  });
  const pushes = pushRole === undefined ? [] : [pushRole];
  // Builds pull by the login that pushes, too.
  const pull = statement("EcrHelperPull", pullActions, helper === undefined ? undefined : [helper, ...pushes]);
  const push = statement("EcrHelperPush", pushActions, pushes);
  return { Version: "2012-10-17", Statement: isPushed ? [pull, push] : [pull] };
}
