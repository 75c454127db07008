// The name of the roles of a stack's helper where its objects have their usual names.
import { roleName } from "../../infra/rbac.ts";

/** `owner` is the name of the ClusterRole that owns what the helper makes. */
export const defaultRoleName = (owner: string): string =>
  roleName(owner, ["ecr-creds", "ecr-creds-pull", "builder-sa"]);
