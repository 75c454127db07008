// The roles that the helper's own user or role assumes to ask for tokens: the one that pushes, and those of registries.
import { literalArn } from "./config/aws-names.ts";
import type { IamOptions, IdentityConfig, PushRoleConfig } from "./config/identity.ts";
import type { RegistriesConfig } from "./config/registries.ts";
import { helperArn, roleArn } from "./iam-arns.ts";
import type { Grant } from "./image-rights.ts";
import type { Registry } from "./registry.ts";
import { assumeActions, registryTrust, type TrustPolicy } from "./trust-policy.ts";

/** The parts of the configuration that name the roles. */
export interface AssumedRoles extends Pick<RegistriesConfig, "registryRoles">, Pick<IamOptions, "path"> {
  readonly identity: IdentityConfig;
  readonly pushRole: PushRoleConfig | undefined;
}

/** The ARN of the role that pushes; undefined if nothing is pushed. */
export const pushRoleArn = (config: AssumedRoles, own: Registry): string | undefined =>
  config.pushRole && roleArn(config.pushRole.roleName, config, own);

/** What the helper's own policy allows for these roles, and for no other. A session is tagged where its role has tags only. */
export function assumeGrants(config: AssumedRoles, own: Registry): readonly Grant[] {
  const { registryRoles, identity } = config;
  const pushRole = pushRoleArn(config, own);
  const allowing = (action: string): string[] =>
    registryRoles.filter((role) => actionsOf(role, identity).includes(action)).map((role) => literalArn(role.roleArn));
  return [
    {
      Sid: "AssumePushRole",
      Resource: pushRole === undefined ? [] : [pushRole],
      Action: assumeActions(identity.mode),
    },
    { Sid: "AssumeRegistryRoles", Resource: allowing("sts:AssumeRole"), Action: ["sts:AssumeRole"] },
    { Sid: "TagRegistrySessions", Resource: allowing("sts:TagSession"), Action: ["sts:TagSession"] },
  ];
}

/**
 * The trust policies that the roles of registries need, by the ARN of the role; undefined if there are none. For identity
 * `node` they trust whomever IAM in the stack's account allows to assume the role, as the stack does not know the helper.
 */
export function registryTrustPolicies(
  config: AssumedRoles,
  own: Registry,
): Readonly<Record<string, TrustPolicy>> | undefined {
  const { registryRoles, identity } = config;
  const helper = helperArn(config, own);
  const policies = registryRoles.map(
    (role) => [role.roleArn, registryTrust(own, helper, role, actionsOf(role, identity))] as const,
  );
  return policies.length === 0 ? undefined : Object.fromEntries(policies);
}

const actionsOf = (
  { sessionTags }: RegistriesConfig["registryRoles"][number],
  { mode }: IdentityConfig,
): readonly string[] => assumeActions(mode, Object.keys(sessionTags).length > 0);
