// Authorizes actions on repositories by the policies of the principal and of the repository, within one account and across accounts.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
import { GetRepositoryPolicyCommand, ListTagsForResourceCommand, type Tag } from "@aws-sdk/client-ecr";
import type { Emulator, RegistryId } from "./emulator.ts";
import { describeDenial, tagContext, denialReason } from "./evaluation.ts";
import type { Principal } from "./principal.ts";
import type { Principals } from "./principals.ts";

/** The identity of a repository, whether or not it exists. */
export interface RepositoryId extends RegistryId {
  readonly name: string;
}

/** The ARN of a repository. */
export const repositoryArn = ({ account, region, name }: RepositoryId): string =>
  `arn:aws:ecr:${region}:${account}:repository/${name}`;

/** The actions that a principal requests on a repository. */
export interface RepositoryAccess {
  readonly principal: Principal;
  /** The address that the request comes from. */
  readonly address: string;
  /** The actions' names in policies: `ecr:PutImage`. */
  readonly actions: readonly string[];
  readonly repository: RepositoryId;
}

/** Authorizes actions on repositories. */
export class Rights {
  readonly #emulator: Emulator;
  readonly #principals: Principals;
  /** By a repository's ARN: the unique id that each principal ARN in its policy had when the policy was set. */
  readonly #policyPrincipals = new Map<string, ReadonlyMap<string, string>>();

  constructor(emulator: Emulator, principals: Principals) {
    [this.#emulator, this.#principals] = [emulator, principals];
  }

  /** Records the unique ids of the principals in a policy that was just set, by their ARNs. */
  recordPrincipals(repository: RepositoryId, ids: ReadonlyMap<string, string>): void {
    this.#policyPrincipals.set(repositoryArn(repository), ids);
  }

  /** Why an action is denied, in the words of AWS; undefined where all actions are allowed. */
  async refusal(request: RepositoryAccess): Promise<string | undefined> {
    const { principal, address, actions, repository } = request;
    const [where, { account, region }] = [repositoryArn(repository), repository];
    const policies = await this.#principals.policiesOf(principal);
    const resource = await this.#resourceOf(repository, principal, policies?.principalArn);
    const context = tagContext(["aws:ResourceTag", "ecr:ResourceTag"], resource.tags);
    const query = { principal, address, region, resource: where, account, context, resourcePolicy: resource.policy };
    for (const action of actions) {
      // A deleted principal has no rights, even where the repository's policy names it.
      const why =
        policies === undefined ? describeDenial(action, [], true) : await denialReason({ ...query, action }, policies);
      if (why !== undefined)
        return `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${where} ${why}`;
    }
    return undefined;
  }

  /** A repository's policy, as it applies to a principal, and its tags; neither where the repository does not exist. */
  async #resourceOf(repository: RepositoryId, principal: Principal, arn = principal.arn): Promise<Resource> {
    const ecr = this.#emulator.ecr(repository);
    const resourceArn = repositoryArn(repository);
    const [policy, tags] = await Promise.all([
      undefinedIfNoRepository(ecr.send(new GetRepositoryPolicyCommand({ repositoryName: repository.name }))),
      undefinedIfNoRepository(ecr.send(new ListTagsForResourceCommand({ resourceArn }))),
    ]);
    const text = policy?.policyText;
    // AWS replaces the ARN of a deleted principal by its unique id, so that a new principal with the same name gets no rights.
    const principalId = this.#policyPrincipals.get(resourceArn)?.get(arn) ?? principal.id;
    const effective =
      principalId === principal.id ? text : text?.replaceAll(JSON.stringify(arn), JSON.stringify(principalId));
    return { policy: effective === undefined ? undefined : (JSON.parse(effective) as unknown), tags: tags?.tags ?? [] };
  }
}

interface Resource {
  readonly policy: unknown;
  readonly tags: readonly Tag[];
}

/** Gives undefined where ECR answers that the repository, or its policy, does not exist; any other error is passed on. */
export async function undefinedIfNoRepository<T>(response: Promise<T>): Promise<T | undefined> {
  try {
    return await response;
  } catch (error) {
    if (/^Repository(Policy)?NotFoundException$/.test((error as Error).name)) return undefined;
    throw error;
  }
}
