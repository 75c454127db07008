// What Kubernetes and AWS accept in a group of build namespaces, to compare with infra/config/groups.ts.
import type { GroupConfig } from "../../infra/config/groups.ts";
import { isArn, isExternalId, isIamName, isRegistryOf, isRepositoryIn, isTag } from "./acceptable-aws.ts";
import { isLabel, mayMeanNamespace, type Rule } from "./acceptable.ts";
import type { Check } from "./acceptable-pod.ts";
import { mutationsOf } from "./acceptable-secrets.ts";
import { ownRegistry } from "./program.ts";

const { accountId, partition, region } = ownRegistry;
const ownHost = `${accountId}.dkr.ecr.${region}.amazonaws.com`;
const host = "444455556666.dkr.ecr.eu-central-1.amazonaws.com";
const roleArn = "arn:aws:iam::444455556666:role/pulls/team-a";

/** Valid values of `groups`. */
export const validGroups: readonly string[] = [
  [{ name: "team-a", namespaces: ["def*"], pullRepositories: ["base/*"], pushRepositories: ["team-a/*"] }],
  [{ name: "a", namespaces: ["default"], pullThroughCache: ["hub/*"], registries: ["public.ecr.aws"] }],
  [
    {
      name: "b",
      namespaces: ["default"],
      registries: [{ host, roleArn, externalId: "an-id", sessionTags: ["team=a"] }],
    },
  ],
  [{ name: "c", namespaces: ["default"], registries: [{ host: ownHost, roleArn }] }],
].map((list) => JSON.stringify(list));

/** The JSON of lists of groups. */
export const someGroups = mutationsOf(validGroups);

const isKept: Rule = (value) => value === "public.ecr.aws" || isRegistryOf(partition)(value);
const isOfOwnAccount: Rule = (value) => value === "public.ecr.aws" || value.startsWith(`${accountId}.`);

/** The fields of a group, with the rules of Kubernetes and of AWS. */
export const groupChecks = (group: GroupConfig): Check[] => {
  const { name, namespaces, registries, registryRoles, role } = group;
  const own = [`${accountId}.dkr.ecr.${region}`, ...registries];
  return [
    [isLabel, name],
    [mayMeanNamespace, ...namespaces],
    [isKept, ...registries, ...registryRoles.flatMap(({ hosts }) => hosts)],
    [isOfOwnAccount, ...registries],
    [isRepositoryIn(own), ...group.pullRepositories, ...group.pushRepositories, ...group.pullThroughCache],
    [isIamName(64), role?.roleName],
    [isIamName(128), role?.policyName],
    [
      (arn) => isArn(["iam"], ["role/"])(arn) && arn.split(":")[1] === partition,
      ...registryRoles.map((one) => one.roleArn),
    ],
    [isExternalId, ...registryRoles.map((one) => one.externalId)],
    [isTag, ...registryRoles.flatMap(({ sessionTags }) => Object.entries(sessionTags).map((pair) => pair.join("=")))],
    [() => role !== undefined || registryRoles.length > 0, name],
  ];
};
