// ARNs of the stack's IAM user and roles, known before these are created.
import type { IamOptions, IdentityConfig } from "./config/identity.ts";
import type { Registry } from "./registry.ts";

type Path = Pick<IamOptions, "path">;

/** The ARN of the helper's user or role; undefined for the nodes' role, which the stack does not know. */
export function helperArn(
  { identity, path = "/" }: Path & { readonly identity: IdentityConfig },
  own: Registry,
): string | undefined {
  if (identity.mode === "node") return undefined;
  if (identity.mode === "accessKey") return iamArn(own, `user${path}${identity.userName}`);
  return roleArn(identity.roleName, { path }, own);
}

/** The ARN of a role in the account of the stack's own registry. */
export const roleArn = (roleName: string, { path = "/" }: Path, own: Registry): string =>
  iamArn(own, `role${path}${roleName}`);

const iamArn = ({ partition, accountId }: Registry, entity: string): string =>
  `arn:${partition}:iam::${accountId}:${entity}`;
