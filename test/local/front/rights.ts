// Whether AWS lets a principal do something to a repository: by IAM's evaluation of the principal's policies and the
// repository's own, in one account and across accounts.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
import { ECRClient, GetRepositoryPolicyCommand, ListTagsForResourceCommand, type Tag } from "@aws-sdk/client-ecr";
import { getDenialReasons, runSimulation, type RequestDenial } from "@cloud-copilot/iam-simulate";
import { rootOf, type Policies, type Principal, type Principals } from "./principals.ts";
import { url, type Endpoint } from "../machine.ts";

/** A repository that there is, or that there may be. */
export interface RepositoryId {
  readonly account: string;
  readonly region: string;
  readonly name: string;
}

export const repositoryArn = ({ account, region, name }: RepositoryId): string =>
  `arn:aws:ecr:${region}:${account}:repository/${name}`;

/** ECR as the root of an account sees it in a region. */
export const ecrOf = (emulator: Endpoint, { account, region }: Omit<RepositoryId, "name">): ECRClient =>
  new ECRClient({ endpoint: url(emulator), region, credentials: rootOf(account) });

export class Rights {
  readonly #emulator: Endpoint;
  readonly #principals: Principals;

  constructor(emulator: Endpoint, principals: Principals) {
    [this.#emulator, this.#principals] = [emulator, principals];
  }

  /** Why a principal may not do one of these actions (`ecr:PutImage`) to a repository, in AWS' words; undefined where it may. */
  async refusal(
    principal: Principal,
    actions: readonly string[],
    repository: RepositoryId,
  ): Promise<string | undefined> {
    const [policies, resource] = await Promise.all([
      this.#principals.policiesOf(principal),
      this.#resourceOf(repository),
    ]);
    for (const action of actions) {
      const why = await whyNot(principal, policies ?? nothing(principal), action, repository, resource);
      if (why !== undefined) {
        const what = `perform: ${action} on resource: ${repositoryArn(repository)}`;
        return `User: ${principal.arn} is not authorized to ${what} ${why}`;
      }
    }
    return undefined;
  }

  /** A repository's policy and tags; of one that there is not, none. */
  async #resourceOf(repository: RepositoryId): Promise<Resource> {
    const ecr = ecrOf(this.#emulator, repository);
    const [policy, tags] = await Promise.all([
      unlessMissing(ecr.send(new GetRepositoryPolicyCommand({ repositoryName: repository.name }))),
      unlessMissing(ecr.send(new ListTagsForResourceCommand({ resourceArn: repositoryArn(repository) }))),
    ]);
    const text = policy?.policyText;
    return { policy: text === undefined ? undefined : (JSON.parse(text) as unknown), tags: tags?.tags ?? [] };
  }
}

interface Resource {
  readonly policy: unknown;
  readonly tags: readonly Tag[];
}

/** Of a user or a role that is gone. */
const nothing = ({ arn }: Principal): Policies => ({
  principalArn: arn,
  identity: [],
  boundary: undefined,
  session: undefined,
  tags: [],
});

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
  principal: Principal,
  policies: Policies,
  action: string,
  repository: RepositoryId,
  resource: Resource,
): Promise<string | undefined> {
  const { identity, boundary, session } = policies;
  const simulated = await runSimulation(
    {
      request: {
        principal: principal.arn,
        action,
        resource: { resource: repositoryArn(repository), accountId: repository.account },
        contextVariables: contextOf(principal, policies, repository, resource),
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

/** What conditions may ask for: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html */
function contextOf(
  { arn, kind, account, name, id }: Principal,
  { principalArn, tags }: Policies,
  { region }: RepositoryId,
  resource: Resource,
): Record<string, string> {
  return {
    "aws:PrincipalArn": principalArn,
    "aws:PrincipalAccount": account,
    "aws:PrincipalType": { root: "Account", user: "User", session: "AssumedRole" }[kind],
    "aws:userid": kind === "session" ? `${id}:${arn.split("/").at(-1) ?? ""}` : id,
    ...(kind === "user" ? { "aws:username": name } : {}),
    "aws:RequestedRegion": region,
    "aws:CurrentTime": new Date().toISOString(),
    "aws:SecureTransport": "true",
    ...Object.fromEntries(tags.map(({ Key = "", Value = "" }) => [`aws:PrincipalTag/${Key}`, Value])),
    ...Object.fromEntries(
      resource.tags.flatMap(({ Key = "", Value = "" }) => [
        [`aws:ResourceTag/${Key}`, Value],
        [`ecr:ResourceTag/${Key}`, Value],
      ]),
    ),
  };
}
