// The roles that the helper's own user or role assumes to ask for tokens: the one that pushes, those of groups, and those of
// registries.
import type { RegistryRole } from "../helper/shared/registry-logins.ts";
import { literalArn } from "./config/aws-names.ts";
import type { AssumedRoleConfig, IdentityConfig } from "./config/identity.ts";
import type { RegistriesConfig } from "./config/registries.ts";
import { allRegistryRoles, groupRoleArns, type GroupsConfig } from "./groups.ts";
import { helperArn, roleArn } from "./iam-arns.ts";
import type { Grant } from "./image-rights.ts";
import type { Registry } from "./registry.ts";
import { assumeActions, registryTrust, type TrustPolicy } from "./trust-policy.ts";

/** The parts of the configuration that name the roles. */
export interface AssumedRoles extends Pick<RegistriesConfig, "registryRoles">, GroupsConfig {
  readonly identity: IdentityConfig;
  readonly pushRole: AssumedRoleConfig | undefined;
}

/** The ARN of the role that pushes; undefined if nothing is pushed. */
export const pushRoleArn = (config: AssumedRoles, own: Registry): string | undefined =>
  config.pushRole && roleArn(config.pushRole.roleName, config, own);

/** What the helper's own policy allows for these roles, and for no other. A session is tagged where its role has tags only. */
export function assumeGrants(config: AssumedRoles, own: Registry): readonly Grant[] {
  const { identity } = config;
  const registryRoles = allRegistryRoles(config);
  const pushRole = pushRoleArn(config, own);
  const allowing = (action: string): string[] =>
    registryRoles.filter((role) => actionsOf(role, identity).includes(action)).map((role) => literalArn(role.roleArn));
  return [
    {
      Sid: "AssumePushRole",
      Resource: pushRole === undefined ? [] : [literalArn(pushRole)],
      Action: assumeActions(identity.mode),
    },
    {
      Sid: "AssumeGroupRoles",
      Resource: groupRoleArns(config, own).map(literalArn),
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
  const { identity } = config;
  const helper = helperArn(config, own);
  const policies = allRegistryRoles(config).map(
    (role) => [role.roleArn, registryTrust(own, helper, role, actionsOf(role, identity))] as const,
  );
  return policies.length === 0 ? undefined : Object.fromEntries(policies);
}

const actionsOf = ({ sessionTags }: RegistryRole, { mode }: IdentityConfig): readonly string[] =>
  assumeActions(mode, Object.keys(sessionTags).length > 0);
