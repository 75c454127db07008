// The name of the roles of a stack's helper where its objects have their usual names.
import { roleName } from "../../infra/rbac.ts";

/** `prefix` is the name of the ClusterRole that owns what the helper makes, or `ecr-helper` for the name in the stack. */
export const defaultRoleName = (prefix: string): string =>
  roleName(prefix, ["ecr-creds", "ecr-creds-pull", "builder-sa"]);
