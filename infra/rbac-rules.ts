// The rules of the helper's roles for what it keeps in build namespaces.
import type { input } from "@pulumi/kubernetes/types/index.js";
import type * as pulumi from "@pulumi/pulumi";
import { registryLogins } from "./config/registries.ts";
import type { StackConfig } from "./config/stack.ts";
import { includesUnnamed, namedAccounts, type AccountRules } from "../helper/shared/account-rules.ts";
import { loginSuffixes } from "../helper/shared/registry-logins.ts";

export type PolicyRule = input.rbac.v1.PolicyRule;

// resourceNames restricts all of these: a create by server-side apply carries the object's name, and a list or watch
// can ask for a single name.
const keepVerbs = ["list", "watch", "create", "patch", "delete"];
// A secret that nobody else has written is replaced: of all writes it costs the API server least.
const keepSecretVerbs = [...keepVerbs, "update"];
/** A rule for the objects of these names. */
export const rule = (
  resource: string,
  resourceNames: pulumi.Input<string[]>,
  verbs: string[],
  group = "",
): PolicyRule => ({
  apiGroups: [group],
  resources: [resource],
  resourceNames,
  verbs,
});

/** The rule to keep the secrets of these names. */
export const keepSecrets = (names: pulumi.Input<string[]>): PolicyRule => rule("secrets", names, keepSecretVerbs);

/**
 * RBAC has no narrower right for service accounts that are included by pattern or selector. The helper neither creates nor deletes one
 * of these, so that both stay restricted to names.
 */
export function keepAccounts(rules: AccountRules): PolicyRule[] {
  const named = namedAccounts(rules);
  if (!includesUnnamed(rules)) return [rule("serviceaccounts", named, ["get", ...keepVerbs])];
  const extendAll = { apiGroups: [""], resources: ["serviceaccounts"], verbs: ["get", "list", "watch", "patch"] };
  return [extendAll, ...(named.length === 0 ? [] : [rule("serviceaccounts", named, ["create", "delete"])])];
}

/** What the names of the objects in build namespaces come from: those of other service accounts need no other rights. */
export const objectNames = (config: StackConfig): string[] => [
  config.basicAuthSecret,
  ...loginSuffixes(registryLogins(config)),
  config.pullSecret,
  ...namedAccounts(config),
  ...(includesUnnamed(config) ? ["*"] : []),
  ...config.secrets.map(({ name, namespaces }) => JSON.stringify([name, ...namespaces])),
  ...(config.pushRole === undefined ? [] : ["logins"]),
  ...(config.groups.length === 0 ? [] : [namesOfGroups(config)]),
];

/** With groups the registries, too, decide which further secrets a namespace has. */
function namesOfGroups({ groups, path, registryHost, secrets, ...stack }: StackConfig): string {
  const loginsOf = ({ registries, registryRoles }: Pick<StackConfig, "registries" | "registryRoles">): unknown[] => [
    ...registries,
    ...registryRoles.map(({ roleArn, hosts }) => [roleArn, ...hosts]),
  ];
  const ofGroups = groups.map((one) => [one.name, one.namespaces, one.role?.roleName, ...loginsOf(one)]);
  return JSON.stringify([ofGroups, path, registryHost, loginsOf(stack), secrets.map(({ registry }) => registry)]);
}

// Events use generateName, so resourceNames cannot restrict them.
export const recordEvents: PolicyRule = { apiGroups: [""], resources: ["events"], verbs: ["create"] };

/** The helper reads only the names and labels of namespaces. */
export const watchNamespaces: PolicyRule = { apiGroups: [""], resources: ["namespaces"], verbs: ["list", "watch"] };
