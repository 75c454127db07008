// The part of the configuration that says which images the kept credentials open, in which registries.
import { registryHost } from "../helper/names.ts";
import { repositoryName as nameOfRepository, repositoryPattern } from "./aws-names.ts";
import type { ConfigReader } from "./config-reader.ts";
import { helperPolicy, registriesOf, type ImageRights, type RepositoryLists } from "./image-rights.ts";
import { hostForm, hostOfRegistry, isSameRegistry, registryNamedBy, type Registry } from "./registry.ts";

/** Which images, in which registries. */
export interface RightsConfig extends RepositoryLists {
  /** Hosts of further registries. */
  readonly registries: readonly string[];
}

const keys = ["pullRepositories", "pushRepositories", "pullThroughCache"] as const;

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: of a managed policy, without whitespace. */
const maxPolicySize = 6144;

const arnForm = "arn:PARTITION:ecr:REGION:ACCOUNT:repository/NAME";
const listForm =
  "names of ECR repositories (2 to 256 characters, lower case), patterns of them (* for any characters, ? for one) or " +
  `ARNs, ${arnForm}`;

/** Reads what the credentials open beside the stack's own repository. */
export function readRights(config: ConfigReader, own: Registry, repositoryName: string): RightsConfig {
  const registries = readRegistries(config, own);
  const known = registriesOf({ own, registries });
  const read = (key: (typeof keys)[number]): string[] => {
    // What is wrong with an entry is said for each one below.
    const entries = [...new Set(config.strings(key, /^/, listForm))];
    return entries.filter((entry) => {
      const expected = complaintOf(entry, known, own) ?? (key === "pullThroughCache" ? foreign(entry, own) : undefined);
      if (expected !== undefined) config.mistake(key, entry, expected);
      return expected === undefined;
    });
  };
  const lists = {
    pullRepositories: read("pullRepositories"),
    pushRepositories: read("pushRepositories"),
    pullThroughCache: read("pullThroughCache"),
  };
  if (nameOfRepository.test(repositoryName)) checkSize(config, { ...lists, own, repositoryName, registries });
  return { ...lists, registries };
}

function readRegistries(config: ConfigReader, own: Registry): readonly string[] {
  const hosts = config.strings("registries", registryHost, `hosts ${hostForm(own.region)}`);
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
  if (registry.partition !== own.partition) {
    return (
      `a registry in the stack's partition, ${own.partition}: an identity of ${own.partition} is unknown in ` +
      `${registry.partition}; run a second stack there`
    );
  }
  const right = hostOfRegistry(registry);
  return right === host ? undefined : `${right}, the host of that account's registry in ${registry.region}`;
}

/** What would be right in the place of an entry; undefined of one that is right. */
function complaintOf(entry: string, known: readonly Registry[], own: Registry): string | undefined {
  if (!entry.startsWith("arn:")) return repositoryComplaint(entry);
  const [, partition = "", service, region = "", accountId = "", ...rest] = entry.split(":");
  const [type, ...name] = rest.join(":").split("/");
  if (service !== "ecr" || type !== "repository") return `an ARN of repositories of ECR, ${arnForm}`;
  if ([partition, region, accountId].some((one) => one === "" || /[*?]/.test(one))) {
    return `an ARN of one registry, with its partition, region and account and no * or ? in them: ${arnForm}`;
  }
  if (!known.some((one) => isSameRegistry(one, { partition, region, accountId }))) {
    return `an ARN in the stack's own registry, or in one of registries: add its host, ${hostForm(own.region)}, there`;
  }
  return repositoryComplaint(name.join("/"));
}

function repositoryComplaint(pattern: string): string | undefined {
  // ECR takes such a name, but it is always the beginning of an image's name.
  if (/^\d{12}\.dkr\.ecr\./.test(pattern)) return "the repository's name without the registry's host";
  return repositoryPattern.test(pattern) ? undefined : listForm;
}

/** Of the repositories that a pull through cache fills; rules of other accounts fill theirs. */
function foreign(entry: string, own: Registry): string | undefined {
  const isForeign = entry.startsWith("arn:") && entry.split(":")[4] !== own.accountId;
  return isForeign ? "repositories of the stack's own account: rules of another account fill those there" : undefined;
}

/** Said of the list that takes most of the room. */
function checkSize(config: ConfigReader, rights: ImageRights): void {
  const size = JSON.stringify(helperPolicy(rights)).length;
  if (size <= maxPolicySize) return;
  const empty = { pullRepositories: [], pushRepositories: [], pullThroughCache: [] };
  const sizeOf = (key: (typeof keys)[number]): number =>
    JSON.stringify(helperPolicy({ ...rights, ...empty, [key]: rights[key] })).length;
  const [largest] = [...keys].sort((one, other) => sizeOf(other) - sizeOf(one));
  const key = largest ?? "pullRepositories";
  config.mistakeOfList(
    key,
    rights[key],
    `fewer or broader patterns, or a second stack for some of the registries: the policy would have ${String(size)} ` +
      `characters, and IAM takes ${String(maxPolicySize)}`,
  );
}
