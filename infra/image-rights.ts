// The IAM policies that decide which images the kept credentials can pull and push. An ECR token has the rights of the
// principal that requested it, so a separate role requests the login that pushes.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-iam.html
import { publicRegistryHost } from "../helper/shared/names.ts";
import { matchesGlob } from "../helper/shared/namespace-rules.ts";
import type { ImageConfig } from "./config/image.ts";
import { isSameRegistry, registryOfHost, type Registry } from "./registry.ts";

/** Repositories by name, by pattern (`*` for any characters, `?` for one) or by ARN. */
export interface RepositoryLists {
  /** Repositories to pull from. The stack's own repository is always included. */
  readonly pullRepositories: readonly string[];
  /** Repositories to push to and pull from. */
  readonly pushRepositories: readonly string[];
  /** Repositories of the stack's account that pull through cache rules fill, to pull from. */
  readonly pullThroughCache: readonly string[];
}

/** The repositories that the helper gets rights on, and their registries. */
export interface ImageRights extends RepositoryLists {
  /** The stack's own registry. */
  readonly own: Registry;
  /** Name of the stack's own repository. */
  readonly repositoryName: string;
  /** Hosts of the configured registries beside the stack's own. */
  readonly registries: readonly string[];
  /** The helper's image. If somebody else built it, its repository is one to pull from. */
  readonly image?: ImageConfig;
}

interface Statement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Resource: readonly string[];
  readonly Action: readonly string[];
}

/** An IAM policy document. */
export interface HelperPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement[];
}

/**
 * In characters without whitespace, for a managed policy:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
 */
export const maxPolicySize = 6144;

/**
 * The origin script's statement. ECR tokens are per registry, not per repository: the action supports no other
 * resource.
 */
const getToken: Statement = {
  Sid: "ECRKnativeToken",
  Effect: "Allow",
  Resource: ["*"],
  Action: ["ecr:GetAuthorizationToken"],
};

/** A token of ECR Public is a bearer token of STS: https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html */
const getPublicToken: Statement = {
  Sid: "ECRPublicToken",
  Effect: "Allow",
  Resource: ["*"],
  Action: ["ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"],
};

/** The actions of a pull. */
export const pullActions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
const uploadActions = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"];
/** The actions of a push. Builders call BatchGetImage to see whether the image exists already. */
export const pushActions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", ...uploadActions].sort();
/** The actions of a pull through cache: the first pull of an image creates its repository. */
const cacheActions = ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"];

/**
 * The policy of the helper's own user or role, whose logins pull. `assumed` allows it to assume the roles that ask for other
 * tokens.
 */
export const helperPolicy = (rights: ImageRights, assumed: readonly Grant[] = []): HelperPolicy =>
  policyOf([getToken, ...pullGrants(rights, helperImages(rights)), ...assumed, ...publicGrants(rights)]);

/** The policy of the role that pushes, whose logins pull and push. */
export const pushPolicy = (rights: ImageRights): HelperPolicy =>
  policyOf([getToken, ...pullGrants(rights, helperImages(rights)), ...pushGrants(rights)]);

/** The policy of a group's role, whose logins pull and push what the group's own lists have, and nothing of the helper's. */
export const groupPolicy = (rights: ImageRights): HelperPolicy =>
  policyOf([
    getToken,
    ...pullGrants(rights, []),
    ...(rights.pushRepositories.length === 0 ? [] : pushGrants(rights)),
    ...publicGrants(rights),
  ]);

/** A statement that allows something by default, and is left out where it has no resource. */
export type Grant = Pick<Statement, "Sid" | "Resource" | "Action"> & Partial<Statement>;

/** `further` are ARNs of repositories to pull from beside those of the lists. */
function pullGrants(rights: ImageRights, further: readonly string[]): Grant[] {
  const { own, pullRepositories, pushRepositories, pullThroughCache } = rights;
  const registries = registriesOf(rights);
  const ofOwnAccount = registries.filter(({ accountId }) => accountId === own.accountId);
  const pulled = [...further, ...pullRepositories, ...pushRepositories];
  const cached = resourceArns(ofOwnAccount, pullThroughCache);
  return [
    { Sid: "PullImages", Resource: resourceArns(registries, [...pulled, ...cached]), Action: pullActions },
    { Sid: "PullThroughCache", Resource: cached, Action: cacheActions },
  ];
}

const helperImages = (rights: ImageRights): string[] => [
  repositoryArn(rights.own, rights.repositoryName),
  ...imageArns(rights),
];

/**
 * No pattern includes the repository of the helper's own image: a push there could make the lifecycle policy expire the
 * image that is in use.
 */
function pushGrants(rights: ImageRights): Grant[] {
  const { own, repositoryName, pushRepositories } = rights;
  const pushed = resourceArns(registriesOf(rights), pushRepositories);
  const kept = [repositoryArn(own, repositoryName)];
  return [
    { Sid: "PushImages", Resource: pushed, Action: pushActions },
    { Sid: "KeepHelperImage", Effect: "Deny", Resource: kept, Action: uploadActions },
  ];
}

const publicGrants = ({ registries }: ImageRights): Grant[] =>
  registries.includes(publicRegistryHost) ? [getPublicToken] : [];

const policyOf = (grants: readonly Grant[]): HelperPolicy => ({
  Version: "2012-10-17",
  Statement: grants
    .filter(({ Resource }) => Resource.length > 0)
    .map(({ Sid, Effect = "Allow", Resource, Action }) => ({ Sid, Effect, Resource, Action })),
});

/** The stack's own registry and the configured ones, each once. */
export function registriesOf({ own, registries }: Pick<ImageRights, "own" | "registries">): Registry[] {
  const all = [own, ...registries.flatMap((host) => registryOfHost(host) ?? [])];
  return all.filter((one, index) => all.findIndex((other) => isSameRegistry(one, other)) === index);
}

/** The ARN of the repository of an image that somebody else built; none where it is not in ECR. */
export function imageArns({ image }: ImageRights): string[] {
  if (image === undefined || !("ref" in image) || image.registry === undefined) return [];
  return [repositoryArn(image.registry, image.repository)];
}

const repositoryArn = ({ partition, region, accountId }: Registry, name: string): string =>
  `arn:${partition}:ecr:${region}:${accountId}:repository/${name}`;

/** The ARNs of the entries of a list in each of the registries. Partition, region and account are never a pattern. */
const resourceArns = (registries: readonly Registry[], entries: readonly string[]): string[] =>
  registries.flatMap((registry) =>
    withoutCovered(patternsIn(registry, entries)).map((pattern) => repositoryArn(registry, pattern)),
  );

/**
 * The names and patterns of a list that apply to a registry: all entries that are not ARNs, and the names of its ARNs.
 */
export function patternsIn(registry: Registry, entries: readonly string[]): string[] {
  const prefix = repositoryArn(registry, "");
  const patterns = entries.flatMap((entry) => {
    if (!entry.startsWith("arn:")) return [entry];
    return entry.startsWith(prefix) ? [entry.slice(prefix.length)] : [];
  });
  return [...new Set(patterns)];
}

/**
 * Removes patterns that another one covers, as the size of a policy is limited. Of two equivalent patterns the first
 * stays.
 */
const withoutCovered = (patterns: readonly string[]): string[] =>
  patterns.includes("*")
    ? ["*"]
    : patterns.filter(
        (one, index) =>
          !patterns.some((other, at) => at !== index && covers(other, one) && (at < index || !covers(one, other))),
      );

/**
 * Whether the wide pattern matches everything that the narrow one matches. A `?` of the wide one never covers a `*`.
 */
export const covers = (wide: string, narrow: string): boolean =>
  wide === narrow || (!(wide.includes("?") && narrow.includes("*")) && matchesGlob(wide, narrow));
