// The part of the configuration that says which images the kept credentials open, in which registries.
import { partition as partitionOf } from "@aws-sdk/util-endpoints";
import { registryHost } from "../../helper/shared/names.ts";
import { repositoryArn, repositoryName as nameOfRepository, repositoryPattern } from "./aws-names.ts";
import type { ConfigReader } from "./reader.ts";
import {
  helperPolicy,
  pushPolicy,
  registriesOf,
  type HelperPolicy,
  type ImageRights,
  type RepositoryLists,
} from "../image-rights.ts";
import { hostForm, hostOfRegistry, isSameRegistry, registryNamedBy, type Registry } from "../registry.ts";

/** Which images, in which registries. */
export interface RightsConfig extends RepositoryLists {
  /** Hosts of further registries. */
  readonly registries: readonly string[];
}

const keys = ["pullRepositories", "pushRepositories", "pullThroughCache"] as const;

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: of a managed policy, without whitespace. */
const maxPolicySize = 6144;

const arnForm = "arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME";
const nameForm = "2 to 256 characters: lower case letters and digits, separated by one of . _ __ - /";
const patternForm = "* for any characters, ? for one";
const listForm = `names of ECR repositories (${nameForm}), patterns of them (${patternForm}) or ARNs, ${arnForm}`;
const nameInArnForm = `a repository's name in the ARN (${nameForm}) or a pattern of names (${patternForm})`;

/** Reads what the credentials open beside the stack's own repository. */
export function readRights(config: ConfigReader, own: Registry, repositoryName: string): RightsConfig {
  const registries = readRegistries(config, own);
  const known = registriesOf({ own, registries });
  const read = (key: (typeof keys)[number]): string[] => {
    // What is wrong with an entry is said for each one below.
    const entries = [...new Set(config.strings(key, /^/, listForm))];
    return entries.filter((entry) => {
      const expected = entry.startsWith("arn:")
        ? arnComplaint(entry, known, own, key === "pullThroughCache")
        : nameComplaint(entry, listForm);
      if (expected !== undefined) config.mistake(key, entry, expected);
      return expected === undefined;
    });
  };
  const lists = {
    pullRepositories: read("pullRepositories"),
    pushRepositories: read("pushRepositories"),
    pullThroughCache: read("pullThroughCache"),
  };
  checkOwnRepository(config, lists.pushRepositories, own, repositoryName);
  if (nameOfRepository.test(repositoryName)) checkSize(config, { ...lists, own, repositoryName, registries });
  return { ...lists, registries };
}

function readRegistries(config: ConfigReader, own: Registry): readonly string[] {
  const form = `hosts ${hostForm(own.region)}: 12 digits, lower case, no https:// and no path`;
  const hosts = config.strings("registries", registryHost, form);
  for (const host of hosts) {
    const registry = registryNamedBy(host);
    const expected = registry && registryComplaint(registry, host, own);
    if (expected !== undefined) config.mistake("registries", host, expected);
  }
  return hosts;
}

/**
 * What would be right in the place of a host; undefined of one that is right. IAM refuses a policy that names another
 * partition's ARNs. A host with another suffix is somebody else's, and would be given the login.
 */
function registryComplaint(registry: Registry, host: string, own: Registry): string | undefined {
  if (registry.partition !== own.partition) return inOwnPartition("a registry", own, registry.partition);
  const right = hostOfRegistry(registry);
  return right === host ? undefined : `${right}, the host of that account's registry in ${registry.region}`;
}

const inOwnPartition = (what: string, own: Registry, partition: string): string =>
  `${what} in the stack's partition, ${own.partition}: an identity of ${own.partition} is unknown in ${partition}; ` +
  "run a second stack there";

/** What would be right in the place of an ARN; undefined of one that is right. */
function arnComplaint(arn: string, known: readonly Registry[], own: Registry, isCache: boolean): string | undefined {
  if (!/^arn:[^:]*:ecr:[^:]*:[^:]*:repository\//.test(arn)) return `an ARN of repositories of ECR, ${arnForm}`;
  const parsed = parseArn(arn);
  if (parsed === undefined) {
    return `an ARN of one registry, with its partition, region and account (12 digits) and no * or ? in them: ${arnForm}`;
  }
  const { registry, name } = parsed;
  return (
    partitionComplaint(registry, own) ??
    (isCache ? foreign(registry, own) : undefined) ??
    unnamed(registry, known, own) ??
    nameComplaint(name, nameInArnForm)
  );
}

/** The name may be any text. */
function parseArn(arn: string): { registry: Registry; name: string } | undefined {
  const [, partition = "", region = "", accountId = "", name] = repositoryArn.exec(arn) ?? [];
  return name === undefined ? undefined : { registry: { partition, region, accountId }, name };
}

/** A region is of one partition only: in an ARN the two may contradict each other. */
function partitionComplaint({ partition, region }: Registry, own: Registry): string | undefined {
  if (partition !== own.partition) return inOwnPartition("an ARN", own, partition);
  const ofRegion = partitionOf(region).name;
  return ofRegion === partitionOf(own.region).name ? undefined : inOwnPartition("an ARN", own, ofRegion);
}

/** Of the repositories that a pull through cache fills; rules of other accounts fill theirs. */
const foreign = ({ accountId }: Registry, own: Registry): string | undefined =>
  accountId === own.accountId
    ? undefined
    : `repositories of the stack's own account, ${own.accountId}: rules of another account fill those there`;

const unnamed = (registry: Registry, known: readonly Registry[], own: Registry): string | undefined =>
  known.some((one) => isSameRegistry(one, registry))
    ? undefined
    : `an ARN in the stack's own registry, or in one of registries: add its host, ${hostForm(own.region)}, there`;

/** What would be right in the place of a name or a pattern; undefined of one that is right. The form is for the rest. */
function nameComplaint(pattern: string, form: string): string | undefined {
  // ECR takes such a name, but it is always the beginning of an image's name.
  if (/^\d{12}\.dkr\.ecr\./.test(pattern)) return "the repository's name without the registry's host";
  if (repositoryPattern.test(pattern)) return undefined;
  if (repositoryPattern.test(pattern.toLowerCase())) return "the name in lower case: ECR takes no upper case letters";
  const isTagged = repositoryPattern.test(pattern.replace(/[:@][^/]*$/, "").toLowerCase());
  return isTagged ? "the repository's name without its tag or digest" : form;
}

/** A pattern may mean it too, and is taken: what it gives there is denied. */
function checkOwnRepository(config: ConfigReader, entries: readonly string[], own: Registry, name: string): void {
  const arn = `arn:${own.partition}:ecr:${own.region}:${own.accountId}:repository/${name}`;
  for (const entry of entries.filter((one) => one === name || one === arn)) {
    const expected = "another repository: none of the kept credentials may push to the one of the helper's own image";
    config.mistake("pushRepositories", entry, expected);
  }
}

/** Said of the list that takes most of the room. */
function checkSize(config: ConfigReader, rights: ImageRights): void {
  const sizeOfPolicy = (lists: ImageRights): number => JSON.stringify(policyOf(lists)).length;
  const size = sizeOfPolicy(rights);
  if (size <= maxPolicySize) return;
  const empty = { pullRepositories: [], pushRepositories: [], pullThroughCache: [] };
  const sizeOf = (key: (typeof keys)[number]): number => sizeOfPolicy({ ...rights, ...empty, [key]: rights[key] });
  const [largest] = [...keys].sort((one, other) => sizeOf(other) - sizeOf(one));
  const key = largest ?? "pullRepositories";
  const names = new Set(keys.flatMap((one) => rights[one])).size;
  const registries = registriesOf(rights).length;
  config.mistakeOfList(
    key,
    rights[key],
    `fewer or broader patterns, or a second stack for some of the registries: the policy would have ${String(size)} ` +
      `characters for ${counted(names, "name", "names")} in ${counted(registries, "registry", "registries")}, and IAM ` +
      `takes ${String(maxPolicySize)}`,
  );
}

/** The larger one of the policies: where there are two, the one that pushes has all that the other has. */
const policyOf = (rights: ImageRights): HelperPolicy =>
  rights.pushRepositories.length === 0 ? helperPolicy(rights, undefined) : pushPolicy(rights);

const counted = (count: number, one: string, many: string): string => `${String(count)} ${count === 1 ? one : many}`;
