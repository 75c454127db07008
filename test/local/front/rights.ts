// Whether AWS lets a principal do something to a repository: by IAM's evaluation of the principal's policies and the
// repository's own, in one account and across accounts.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
import { GetRepositoryPolicyCommand, ListTagsForResourceCommand, type Tag } from "@aws-sdk/client-ecr";
import { getDenialReasons, runSimulation, type RequestDenial } from "@cloud-copilot/iam-simulate";
import type { Emulator, RegistryId } from "./emulator.ts";
import type { Policies, Principal, Principals } from "./principals.ts";

/** A repository that there is, or that there may be. */
export interface RepositoryId extends RegistryId {
  readonly name: string;
}

export const repositoryArn = ({ account, region, name }: RepositoryId): string =>
  `arn:aws:ecr:${region}:${account}:repository/${name}`;

/** Who asks for what. */
export interface Request {
  readonly principal: Principal;
  /** The address that the request comes from. */
  readonly address: string;
  /** As policies name them: `ecr:PutImage`. */
  readonly actions: readonly string[];
  readonly repository: RepositoryId;
}

export class Rights {
  readonly #emulator: Emulator;
  readonly #principals: Principals;
  /** Whom the policy of a repository meant when it was set, by the repository's ARN: the unique id of each ARN in it. */
  readonly #meant = new Map<string, ReadonlyMap<string, string>>();

  constructor(emulator: Emulator, principals: Principals) {
    [this.#emulator, this.#principals] = [emulator, principals];
  }

  /** Takes note of whom a policy that was set now means. */
  means(repository: RepositoryId, ids: ReadonlyMap<string, string>): void {
    this.#meant.set(repositoryArn(repository), ids);
  }

  /** Why somebody may not do all that is asked for, in AWS' words; undefined where he may. */
  async refusal(request: Request): Promise<string | undefined> {
    const { principal, actions, repository } = request;
    const policies = await this.#principals.policiesOf(principal);
    const resource = await this.#resourceOf(repository, principal, policies?.principalArn);
    for (const action of actions) {
      // Who is gone may do nothing, whomever the repository's policy names.
      const why =
        policies === undefined ? reasonOf(action, [], true) : await whyNot(request, action, policies, resource);
      if (why !== undefined) {
        const what = `perform: ${action} on resource: ${repositoryArn(repository)}`;
        return `User: ${principal.arn} is not authorized to ${what} ${why}`;
      }
    }
    return undefined;
  }

  /** A repository's policy, as it is to be read for a principal, and its tags; of one that there is not, none. */
  async #resourceOf(repository: RepositoryId, principal: Principal, arn = principal.arn): Promise<Resource> {
    const ecr = this.#emulator.ecr(repository);
    const resourceArn = repositoryArn(repository);
    const [policy, tags] = await Promise.all([
      unlessMissing(ecr.send(new GetRepositoryPolicyCommand({ repositoryName: repository.name }))),
      unlessMissing(ecr.send(new ListTagsForResourceCommand({ resourceArn }))),
    ]);
    const text = policy?.policyText;
    // IAM writes the unique id of who is gone in the place of his ARN: who has the name now is somebody else.
    const meant = this.#meant.get(resourceArn)?.get(arn) ?? principal.id;
    const read = meant === principal.id ? text : text?.replaceAll(JSON.stringify(arn), JSON.stringify(meant));
    return { policy: read === undefined ? undefined : (JSON.parse(read) as unknown), tags: tags?.tags ?? [] };
  }
}

interface Resource {
  readonly policy: unknown;
  readonly tags: readonly Tag[];
}

/** Undefined where there is no such repository, or no policy of it. */
export async function unlessMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (/^Repository(Policy)?NotFoundException$/.test((error as Error).name)) return undefined;
    throw error;
  }
}

async function whyNot(
  { principal, address, repository }: Request,
  action: string,
  policies: Policies,
  resource: Resource,
): Promise<string | undefined> {
  const { identity, boundary, session } = policies;
  const simulated = await runSimulation(
    {
      request: {
        principal: principal.arn,
        action,
        resource: { resource: repositoryArn(repository), accountId: repository.account },
        contextVariables: {
          ...contextOfPrincipal(principal, policies),
          ...contextOfRequest(address, repository),
          ...tagsAs(["aws:ResourceTag", "ecr:ResourceTag"], resource.tags),
        },
      },
      identityPolicies: [...identity],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      ...(boundary === undefined ? {} : { permissionBoundaryPolicies: [...boundary] }),
      ...(session === undefined ? {} : { sessionPolicy: session }),
      ...(resource.policy === undefined ? {} : { resourcePolicy: resource.policy }),
    },
    {},
  );
  if (simulated.resultType === "error")
    throw new Error(`no policy that AWS takes: ${JSON.stringify(simulated.errors)}`);
  if (simulated.overallResult === "Allowed") return undefined;
  const analyses = simulated.resultType === "single" ? [simulated.result] : simulated.results;
  const denials = analyses.flatMap(({ analysis }) => getDenialReasons(analysis));
  return reasonOf(action, denials, principal.account === repository.account);
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html */
function reasonOf(action: string, denials: readonly RequestDenial[], isOwnAccount: boolean): string {
  const kinds: Readonly<Record<string, string>> = { pb: "permissions boundary", session: "session policy" };
  const explicit = denials.find(({ denialType }) => denialType === "Explicit");
  const implicit = denials.find(({ policyType }) => policyType in kinds) ?? denials[0];
  // Across accounts the evaluator names no policy where the repository has none.
  const of = (explicit ?? implicit)?.policyType ?? (isOwnAccount ? "session" : "resource");
  const kind = kinds[of] ?? `${of}-based policy`;
  const article = /^[aeiou]/.test(kind) ? "an" : "a";
  return explicit === undefined
    ? `because no ${kind} allows the ${action} action`
    : `with an explicit deny in ${article} ${kind}`;
}

/** What conditions may ask for of the principal: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html */
function contextOfPrincipal(
  { arn, kind, account, name, id, session }: Principal,
  { principalArn, tags }: Policies,
): Record<string, string> {
  const isSession = kind === "session";
  return {
    "aws:PrincipalArn": principalArn,
    "aws:PrincipalAccount": account,
    "aws:PrincipalType": { root: "Account", user: "User", session: "AssumedRole" }[kind],
    "aws:PrincipalIsAWSService": "false",
    "aws:userid": isSession ? `${id}:${arn.split("/").at(-1) ?? ""}` : id,
    ...(kind === "user" ? { "aws:username": name } : {}),
    ...(session === undefined ? {} : { "aws:TokenIssueTime": session.since, "aws:MultiFactorAuthPresent": "false" }),
    ...tagsAs(["aws:PrincipalTag"], tags),
  };
}

const contextOfRequest = (address: string, { region }: RepositoryId): Record<string, string> => ({
  "aws:RequestedRegion": region,
  "aws:CurrentTime": new Date().toISOString(),
  "aws:SecureTransport": "true",
  "aws:SourceIp": address,
  "aws:ViaAWSService": "false",
});

const tagsAs = (keys: readonly string[], tags: readonly Tag[]): Record<string, string> =>
  Object.fromEntries(keys.flatMap((key) => tags.map(({ Key = "", Value = "" }) => [`${key}/${Key}`, Value])));
