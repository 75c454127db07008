// Whether AWS lets a principal do something to a repository: by IAM's evaluation of the principal's policies and the
// repository's own, in one account and across accounts.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
import { GetRepositoryPolicyCommand, ListTagsForResourceCommand, type Tag } from "@aws-sdk/client-ecr";
import type { Emulator, RegistryId } from "./emulator.ts";
import { describeDenial, tagContext, denialReason } from "./evaluation.ts";
import type { Principal } from "./principal.ts";
import type { Principals } from "./principals.ts";

/** A repository that there is, or that there may be. */
export interface RepositoryId extends RegistryId {
  readonly name: string;
}

export const repositoryArn = ({ account, region, name }: RepositoryId): string =>
  `arn:aws:ecr:${region}:${account}:repository/${name}`;

/** Who asks for what. */
export interface RepositoryAccess {
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
  readonly #policyPrincipals = new Map<string, ReadonlyMap<string, string>>();

  constructor(emulator: Emulator, principals: Principals) {
    [this.#emulator, this.#principals] = [emulator, principals];
  }

  /** Takes note of whom a policy that was set now means. */
  recordPrincipals(repository: RepositoryId, ids: ReadonlyMap<string, string>): void {
    this.#policyPrincipals.set(repositoryArn(repository), ids);
  }

  /** Why somebody may not do all that is asked for, in AWS' words; undefined where he may. */
  async refusal(request: RepositoryAccess): Promise<string | undefined> {
    const { principal, address, actions, repository } = request;
    const [where, { account, region }] = [repositoryArn(repository), repository];
    const policies = await this.#principals.policiesOf(principal);
    const resource = await this.#resourceOf(repository, principal, policies?.principalArn);
    const context = tagContext(["aws:ResourceTag", "ecr:ResourceTag"], resource.tags);
    const asked = { principal, address, region, resource: where, account, context, resourcePolicy: resource.policy };
    for (const action of actions) {
      // Who is gone may do nothing, whomever the repository's policy names.
      const why =
        policies === undefined ? describeDenial(action, [], true) : await denialReason({ ...asked, action }, policies);
      if (why !== undefined)
        return `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${where} ${why}`;
    }
    return undefined;
  }

  /** A repository's policy, as it is to be read for a principal, and its tags; of one that there is not, none. */
  async #resourceOf(repository: RepositoryId, principal: Principal, arn = principal.arn): Promise<Resource> {
    const ecr = this.#emulator.ecr(repository);
    const resourceArn = repositoryArn(repository);
    const [policy, tags] = await Promise.all([
      undefinedIfNoRepository(ecr.send(new GetRepositoryPolicyCommand({ repositoryName: repository.name }))),
      undefinedIfNoRepository(ecr.send(new ListTagsForResourceCommand({ resourceArn }))),
    ]);
    const text = policy?.policyText;
    // IAM writes the unique id of who is gone in the place of his ARN: who has the name now is somebody else.
    const meant = this.#policyPrincipals.get(resourceArn)?.get(arn) ?? principal.id;
    const read = meant === principal.id ? text : text?.replaceAll(JSON.stringify(arn), JSON.stringify(meant));
    return { policy: read === undefined ? undefined : (JSON.parse(read) as unknown), tags: tags?.tags ?? [] };
  }
}

interface Resource {
  readonly policy: unknown;
  readonly tags: readonly Tag[];
}

/** Undefined where there is no such repository, or no policy of it. */
export async function undefinedIfNoRepository<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (/^Repository(Policy)?NotFoundException$/.test((error as Error).name)) return undefined;
    throw error;
  }
}
