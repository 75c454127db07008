// Which images the kept credentials open: the statements of the helper's policy, and what other accounts have to set, as
// pure documents. A token of ECR opens what the principal that asked for it may do, and no more.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache-iam.html
import { matchesGlob } from "../helper/targets.ts";
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
  readonly Effect: "Allow";
  readonly Resource: readonly string[];
  readonly Action: readonly string[];
}

/** The one policy of the helper, in IAM. */
export interface HelperPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement[];
}

/**
 * What another account sets on the repositories of a pattern, so that the helper's credentials open them. A repository that
 * several patterns match needs one of theirs: one that has pushing in it, where there is one.
 */
export interface CrossAccountPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly [
    {
      readonly Sid: "EcrHelperPull" | "EcrHelperPullAndPush";
      readonly Effect: "Allow";
      readonly Principal: { readonly AWS: string };
      readonly Action: readonly string[];
      readonly Condition?: { readonly ArnEquals: { readonly "aws:PrincipalArn": string } };
    },
  ];
}

/** The origin's statement. ECR's tokens are per registry, not per repository: the action takes no other resource. */
const askForTokens: Statement = {
  Sid: "ECRKnativeToken",
  Effect: "Allow",
  Resource: ["*"],
  Action: ["ecr:GetAuthorizationToken"],
};

const pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
/** BatchGetImage is among them as builders ask first whether an image is there. */
const push = [
  "ecr:BatchCheckLayerAvailability",
  "ecr:BatchGetImage",
  "ecr:CompleteLayerUpload",
  "ecr:InitiateLayerUpload",
  "ecr:PutImage",
  "ecr:UploadLayerPart",
];
/** The first pull of an image makes its repository. */
const fillCache = ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"];

/** The helper's policy, whoever it is to AWS. */
export function helperPolicy(rights: ImageRights): HelperPolicy {
  const { own, repositoryName, pullRepositories, pushRepositories, pullThroughCache } = rights;
  const all = registriesOf(rights);
  const ofOwnAccount = all.filter(({ accountId }) => accountId === own.accountId);
  const pulled = [repositoryArn(own, repositoryName), ...pullRepositories, ...pushRepositories];
  const cached = resources(ofOwnAccount, pullThroughCache);
  const statements = [
    { Sid: "PullImages", Resource: resources(all, [...pulled, ...cached]), Action: pull },
    { Sid: "PushImages", Resource: resources(all, pushRepositories), Action: push },
    { Sid: "PullThroughCache", Resource: cached, Action: fillCache },
  ];
  const asked = statements.filter(({ Resource }) => Resource.length > 0);
  return {
    Version: "2012-10-17",
    Statement: [
      askForTokens,
      ...asked.map(({ Sid, Resource, Action }): Statement => ({ Sid, Effect: "Allow", Resource, Action })),
    ],
  };
}

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
function patternsIn(registry: Registry, entries: readonly string[]): string[] {
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
const covers = (wide: string, narrow: string): boolean =>
  wide === narrow || (!(wide.includes("?") && narrow.includes("*")) && matchesGlob(wide, narrow));

/**
 * The repository policies that other accounts have to set, by the registry's host and the pattern of repositories; `undefined`
 * where there are none. The helper's ARN is undefined where the stack does not know it.
 */
export function crossAccountPolicies(
  rights: ImageRights,
  helperArn: string | undefined,
): Readonly<Record<string, Readonly<Record<string, CrossAccountPolicy>>>> | undefined {
  const ofHosts = rights.registries.flatMap((host) => {
    const registry = registryOfHost(host);
    if (registry === undefined || registry.accountId === rights.own.accountId) return [];
    const pushed = patternsIn(registry, rights.pushRepositories);
    const all = new Set([...patternsIn(registry, rights.pullRepositories), ...pushed]);
    const policies = [...all].map((pattern) => {
      const isPushed = pushed.some((one) => covers(one, pattern));
      return [pattern, crossAccountPolicy(rights.own, helperArn, isPushed)] as const;
    });
    return policies.length === 0 ? [] : [[host, Object.fromEntries(policies)] as const];
  });
  return ofHosts.length === 0 ? undefined : Object.fromEntries(ofHosts);
}

/**
 * The root of the helper's account, with the condition that it is the helper who asks: that names exactly the helper. A
 * user or role that is named as the principal itself must be there already, or ECR refuses the policy; and when it is
 * deleted IAM writes its unique id in its place, so that one that is made anew under the name is refused.
 */
function crossAccountPolicy(own: Registry, helperArn: string | undefined, isPushed: boolean): CrossAccountPolicy {
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: isPushed ? "EcrHelperPullAndPush" : "EcrHelperPull",
        Effect: "Allow",
        Principal: { AWS: `arn:${own.partition}:iam::${own.accountId}:root` },
        Action: isPushed ? [...new Set([...pull, ...push])].sort() : pull,
        ...(helperArn === undefined ? {} : { Condition: { ArnEquals: { "aws:PrincipalArn": literal(helperArn) } } }),
      },
    ],
  };
}

/** An ARN in a condition, where `*`, `?` and `$` of a path would have a meaning. */
const literal = (arn: string): string => arn.replace(/[*?$]/g, (one) => `\${${one}}`);
