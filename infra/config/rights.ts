// Reads which repositories the kept credentials may pull from and push to.
import { partition as partitionOf } from "@aws-sdk/util-endpoints";
import { repositoryArn, repositoryPattern } from "./aws-names.ts";
import { inOwnPartition } from "./partition.ts";
import type { ConfigReader } from "./reader.ts";
import type { RegistriesConfig } from "./registries.ts";
import { registriesOf, type ImageRights, type RepositoryLists } from "../image-rights.ts";
import { hostFormat, isSameRegistry, registryOfHost, type Registry } from "../registry.ts";

/** The keys of the lists. A group has fields of these names. */
export const rightsKeys = ["pullRepositories", "pushRepositories", "pullThroughCache"] as const;
export type RightsKey = (typeof rightsKeys)[number];

const arnForm = "arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME";
const nameForm = "2 to 256 characters: lower case letters and digits, separated by one of . _ __ - /";
const patternForm = "* for any characters, ? for one";
const listForm = `names of ECR repositories (${nameForm}), patterns of them (${patternForm}) or ARNs, ${arnForm}`;
const nameInArnForm = `a repository's name in the ARN (${nameForm}) or a pattern of names (${patternForm})`;

/**
 * Reads the lists, for the registries that the configuration names. The stack's own repository can always be pulled from, as the
 * helper's image can be.
 */
export function readRights(config: ConfigReader, context: RightsContext): RepositoryLists {
  const rule = createRightsRule(context);
  const read = (key: RightsKey): string[] => {
    // Accept any text here, because the mistakes below are specific to each entry.
    const entries = [...new Set(config.strings(key, /^/, listForm))];
    return entries.filter((entry) => {
      const expected = rule(key, entry);
      if (expected !== undefined) config.addMistake(key, entry, expected);
      return expected === undefined;
    });
  };
  return {
    pullRepositories: read("pullRepositories"),
    pushRepositories: read("pushRepositories"),
    pullThroughCache: read("pullThroughCache"),
  };
}

/** The registries that the lists are for, and the stack's own repository. */
export type RightsContext = Pick<ImageRights, "own" | "repositoryName"> &
  Pick<RegistriesConfig, "registries" | "registryRoles">;

/** Returns a function that says what is expected instead of an entry of a list; undefined if it is valid. */
export function createRightsRule({
  own,
  registries,
  registryRoles,
  repositoryName,
}: RightsContext): (key: RightsKey, entry: string) => string | undefined {
  const known = registriesOf({ own, registries });
  const ofRoles = registryRoles.flatMap(({ hosts }) => hosts.flatMap((host) => registryOfHost(host) ?? []));
  return (key, entry) => {
    const expected = entry.startsWith("arn:")
      ? arnMistake(entry, { known, ofRoles, own }, key === "pullThroughCache")
      : nameMistake(entry, listForm);
    return expected ?? (key === "pushRepositories" ? ownRepositoryMistake(entry, own, repositoryName) : undefined);
  };
}

/** The registries that the configuration names: those that the helper's own rights are for, and those of roles. */
interface KnownRegistries {
  readonly own: Registry;
  readonly known: readonly Registry[];
  readonly ofRoles: readonly Registry[];
}

/** What is expected instead of the ARN; undefined if it is valid. */
function arnMistake(arn: string, registries: KnownRegistries, isCache: boolean): string | undefined {
  const { own } = registries;
  if (!/^arn:[^:]*:ecr:[^:]*:[^:]*:repository\//.test(arn)) return `an ARN of repositories of ECR, ${arnForm}`;
  const parsed = parseArn(arn);
  if (parsed === undefined) {
    return `an ARN of one registry, with its partition, region and account (12 digits) and no * or ? in them: ${arnForm}`;
  }
  const { registry, name } = parsed;
  return (
    partitionMistake(registry, own) ??
    (isCache ? accountMistake(registry, own) : undefined) ??
    unlistedMistake(registry, registries) ??
    nameMistake(name, nameInArnForm)
  );
}

/** Undefined if it is not the ARN of a repository. Its name may still be any text. */
function parseArn(arn: string): { registry: Registry; name: string } | undefined {
  const [, partition = "", region = "", accountId = "", name] = repositoryArn.exec(arn) ?? [];
  return name === undefined ? undefined : { registry: { partition, region, accountId }, name };
}

/** Checks the partition and the region, which may contradict each other: each region is in one partition only. */
function partitionMistake({ partition, region }: Registry, own: Registry): string | undefined {
  if (partition !== own.partition) return inOwnPartition("an ARN", own, partition);
  const ofRegion = partitionOf(region).name;
  return ofRegion === partitionOf(own.region).name ? undefined : inOwnPartition("an ARN", own, ofRegion);
}

/**
 * For repositories that pull through cache rules fill: the rules of an account fill only that account's repositories.
 */
const accountMistake = ({ accountId }: Registry, own: Registry): string | undefined =>
  accountId === own.accountId
    ? undefined
    : `repositories of the stack's own account, ${own.accountId}: rules of another account fill those there`;

function unlistedMistake(registry: Registry, { known, ofRoles, own }: KnownRegistries): string | undefined {
  const isIn = (registries: readonly Registry[]): boolean => registries.some((one) => isSameRegistry(one, registry));
  if (isIn(known)) return undefined;
  if (isIn(ofRoles)) return "no ARN in a registry with a roleArn: the policies of that role say what is pulled there";
  return `an ARN in the stack's own registry, or in one of registries: add its host, ${hostFormat(own.region)}, there`;
}

/** What is expected instead of the name or pattern; undefined if it is valid. `form` describes a valid one. */
function nameMistake(pattern: string, form: string): string | undefined {
  // ECR accepts such a name, but here it is always a full image name by mistake.
  if (/^\d{12}\.dkr[.-]ecr(-fips)?\./.test(pattern)) return "the repository's name without the registry's host";
  if (repositoryPattern.test(pattern)) return undefined;
  if (repositoryPattern.test(pattern.toLowerCase())) return "the name in lower case: ECR takes no upper case letters";
  const isTagged = repositoryPattern.test(pattern.replace(/[:@][^/]*$/, "").toLowerCase());
  return isTagged ? "the repository's name without its tag or digest" : form;
}

/** A pattern that matches the stack's own repository is accepted, because the policy denies pushes there. */
const ownRepositoryMistake = (entry: string, own: Registry, name: string): string | undefined =>
  entry === name || entry === `arn:${own.partition}:ecr:${own.region}:${own.accountId}:repository/${name}`
    ? "another repository: none of the kept credentials may push to the one of the helper's own image"
    : undefined;
