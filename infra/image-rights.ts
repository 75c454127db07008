// Which images the kept credentials open: the policies of who asks for them, as pure documents. A token of ECR opens what the
// principal that asked for it may do, and no more: the login that pushes is asked for by a role of its own.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-iam.html
import { matchesGlob } from "../helper/shared/namespace-rules.ts";
import { isSameRegistry, registryOfHost, type Registry } from "./registry.ts";

/** Repositories by name, by pattern (`*` for any characters, `?` for one) or by ARN. */
export interface RepositoryLists {
  /** Whose images may be pulled. The stack's own repository is one of them in any case. */
  readonly pullRepositories: readonly string[];
  /** What may be pushed to, and be pulled from as well. */
  readonly pushRepositories: readonly string[];
  /** Those of the own account that pull through cache rules fill; they may be pulled from, too. */
  readonly pullThroughCache: readonly string[];
}

/** What the helper is given rights on. */
export interface ImageRights extends RepositoryLists {
  readonly own: Registry;
  /** The stack's own repository. */
  readonly repositoryName: string;
  /** Hosts of the registries that are named beside the own one. */
  readonly registries: readonly string[];
}

interface Statement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Resource: readonly string[];
  readonly Action: readonly string[];
}

/** A policy in IAM. */
export interface HelperPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement[];
}

/** The origin's statement. ECR's tokens are per registry, not per repository: the action takes no other resource. */
const askForTokens: Statement = {
  Sid: "ECRKnativeToken",
  Effect: "Allow",
  Resource: ["*"],
  Action: ["ecr:GetAuthorizationToken"],
};

export const pullActions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
const uploadActions = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"];
/** BatchGetImage is among them as builders ask first whether an image is there. */
export const pushActions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", ...uploadActions].sort();
/** The first pull of an image makes its repository. */
const fillCache = ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"];

/** How the helper comes to be the role that pushes. */
export interface Assuming {
  /** The role's ARN. */
  readonly role: string;
  readonly actions: readonly string[];
}

/** The policy of the helper's own user or role, whose logins pull. It may assume the role that pushes, where there is one. */
export function helperPolicy(rights: ImageRights, assuming: Assuming | undefined): HelperPolicy {
  const { role, actions } = assuming ?? { role: undefined, actions: [] };
  const assume = { Sid: "AssumePushRole", Resource: role === undefined ? [] : [role], Action: actions };
  return policyOf([askForTokens, ...pulling(rights), assume]);
}

/**
 * The policy of the role whose logins builds have: they pull and push. No pattern means the repository of the helper's own
 * image: who pushes there could make the lifecycle policy expire the one that is in use.
 */
export function pushPolicy(rights: ImageRights): HelperPolicy {
  const { own, repositoryName, pushRepositories } = rights;
  const push = { Sid: "PushImages", Resource: resources(registriesOf(rights), pushRepositories), Action: pushActions };
  const keep = { Sid: "KeepHelperImage", Resource: [repositoryArn(own, repositoryName)], Action: uploadActions };
  return policyOf([askForTokens, ...pulling(rights), push, { ...keep, Effect: "Deny" }]);
}

type Grant = Pick<Statement, "Sid" | "Resource" | "Action"> & Partial<Statement>;

function pulling(rights: ImageRights): Grant[] {
  const { own, repositoryName, pullRepositories, pushRepositories, pullThroughCache } = rights;
  const all = registriesOf(rights);
  const ofOwnAccount = all.filter(({ accountId }) => accountId === own.accountId);
  const pulled = [repositoryArn(own, repositoryName), ...pullRepositories, ...pushRepositories];
  const cached = resources(ofOwnAccount, pullThroughCache);
  return [
    { Sid: "PullImages", Resource: resources(all, [...pulled, ...cached]), Action: pullActions },
    { Sid: "PullThroughCache", Resource: cached, Action: fillCache },
  ];
}

const policyOf = (grants: readonly Grant[]): HelperPolicy => ({
  Version: "2012-10-17",
  Statement: grants
    .filter(({ Resource }) => Resource.length > 0)
    .map(({ Sid, Effect = "Allow", Resource, Action }) => ({ Sid, Effect, Resource, Action })),
});

/** The own registry and those that are named, each once. */
export function registriesOf({ own, registries }: Pick<ImageRights, "own" | "registries">): Registry[] {
  const all = [own, ...registries.flatMap((host) => registryOfHost(host) ?? [])];
  return all.filter((one, index) => all.findIndex((other) => isSameRegistry(one, other)) === index);
}

const repositoryArn = ({ partition, region, accountId }: Registry, name: string): string =>
  `arn:${partition}:ecr:${region}:${accountId}:repository/${name}`;

/** The ARNs of what the entries of a list mean in some registries. Partition, region and account are never a pattern. */
const resources = (registries: readonly Registry[], entries: readonly string[]): string[] =>
  registries.flatMap((registry) =>
    withoutCovered(patternsIn(registry, entries)).map((pattern) => repositoryArn(registry, pattern)),
  );

/** The names and patterns that the entries of a list mean in a registry: all that are no ARNs, and the ARNs in it. */
export function patternsIn(registry: Registry, entries: readonly string[]): string[] {
  const prefix = repositoryArn(registry, "");
  const patterns = entries.flatMap((entry) => {
    if (!entry.startsWith("arn:")) return [entry];
    return entry.startsWith(prefix) ? [entry.slice(prefix.length)] : [];
  });
  return [...new Set(patterns)];
}

/** Without those that another one covers, as a policy has little room. Of two that mean the same the first one stays. */
const withoutCovered = (patterns: readonly string[]): string[] =>
  patterns.includes("*")
    ? ["*"]
    : patterns.filter(
        (one, index) =>
          !patterns.some((other, at) => at !== index && covers(other, one) && (at < index || !covers(one, other))),
      );

/** Whether all that the narrow pattern means is meant by the wide one: a `?` there stands for no `*` here. */
export const covers = (wide: string, narrow: string): boolean =>
  wide === narrow || (!(wide.includes("?") && narrow.includes("*")) && matchesGlob(wide, narrow));
