// What Amazon ECR checks in requests to its API, and the emulator does not: the repository's policy beside the principal's
// own, and what such a policy may say.
import { GetRoleCommand, GetUserCommand, IAMClient } from "@aws-sdk/client-iam";
import { validateResourcePolicy } from "@cloud-copilot/iam-policy";
import type { Asked } from "../aws-requests.ts";
import type { Refusal } from "./iam-checks.ts";
import { rootOf, type Principal, type Principals } from "./principals.ts";
import type { Rights } from "./rights.ts";
import { aws, url, type Endpoint } from "../machine.ts";

interface EcrRequest {
  readonly registryId?: string;
  readonly repositoryName?: string;
  readonly repositoryNames?: readonly string[];
  readonly resourceArn?: string;
  readonly policyText?: string;
}

interface Front {
  readonly emulator: Endpoint;
  readonly principals: Principals;
  readonly rights: Rights;
}

const badParameter = (message: string): Refusal => ({ status: 400, code: "InvalidParameterException", message });

/** Refuses a request as ECR does; gives undefined for what the emulator may answer. */
export async function checkEcr(asked: Asked, body: Buffer, front: Front): Promise<Refusal | undefined> {
  const principal = await front.principals.find(asked.key ?? "");
  // Who nobody is, the emulator refuses.
  if (principal === undefined || asked.action === "ecr:GetAuthorizationToken") return undefined;
  const request = JSON.parse(body.toString()) as EcrRequest;
  const denied = await checkRights(asked, request, principal, front.rights);
  if (denied !== undefined || asked.action !== "ecr:SetRepositoryPolicy") return denied;
  return checkPolicy(request.policyText ?? "", principal, front.emulator);
}

/** What is about no repository the emulator judges by itself. */
async function checkRights(
  { action, also = [], region = "" }: Asked,
  { registryId, repositoryName, repositoryNames = [], resourceArn }: EcrRequest,
  principal: Principal,
  rights: Rights,
): Promise<Refusal | undefined> {
  const { account } = principal;
  if (registryId !== undefined && registryId !== account) {
    return badParameter(`the local cloud serves no API of another account's registry: ${registryId}`);
  }
  for (const name of [repositoryName ?? [], repositoryNames, nameIn(resourceArn)].flat()) {
    const message = await rights.refusal(principal, [action, ...also], { account, region, name });
    if (message !== undefined) return { status: 400, code: "AccessDeniedException", message };
  }
  return undefined;
}

const nameIn = (arn = ""): string[] => /:repository\/(.+)$/.exec(arn)?.slice(1) ?? [];

const principalArn =
  /^arn:aws[a-z-]*:(?:iam::(\d{12}):(?:root|(user|role)\/(?:.*\/)?([^/]+))|sts::\d{12}:assumed-role\/.+)$/;

interface Statement {
  readonly Principal?: string | { readonly AWS?: string | readonly string[] };
  readonly NotPrincipal?: unknown;
  readonly Resource?: unknown;
}

/** Refuses what is no policy of a repository to ECR. The users and roles in it are looked up when it is set. */
async function checkPolicy(text: string, { account }: Principal, emulator: Endpoint): Promise<Refusal | undefined> {
  const named = principalsIn(text);
  const known = await Promise.all((named ?? []).map(async (one) => isPrincipal(one, account, emulator)));
  if (named !== undefined && known.every(Boolean)) return undefined;
  return badParameter(
    "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'",
  );
}

/** Whom a repository's policy names; undefined for what is none. */
function principalsIn(text: string): string[] | undefined {
  const document = parse(text);
  if (document === undefined || validateResourcePolicy(document).length > 0) return undefined;
  const statements = [(document as { Statement: Statement | Statement[] }).Statement].flat();
  // The resource is the repository that the policy is put on.
  const isWhole = statements.every(
    ({ Principal, NotPrincipal, Resource }) => Resource === undefined && (Principal ?? NotPrincipal) !== undefined,
  );
  return isWhole ? statements.flatMap(namedBy) : undefined;
}

const namedBy = ({ Principal }: Statement): string[] =>
  typeof Principal === "string" ? [Principal] : [Principal?.AWS ?? []].flat();

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // No JSON: the refusal says that it is no policy.
  }
}

async function isPrincipal(one: string, ownAccount: string, emulator: Endpoint): Promise<boolean> {
  if (one === "*" || /^\d{12}$/.test(one)) return true;
  const found = principalArn.exec(one);
  if (found === null) return false;
  const [, account = ownAccount, kind, name = ""] = found;
  const iam = new IAMClient({ endpoint: url(emulator), region: aws.AWS_REGION, credentials: rootOf(account) });
  const sent =
    kind === "user"
      ? iam.send(new GetUserCommand({ UserName: name }))
      : kind === "role"
        ? iam.send(new GetRoleCommand({ RoleName: name }))
        : Promise.resolve();
  try {
    await sent;
    return true;
  } catch (error) {
    if ((error as Error).name === "NoSuchEntityException") return false;
    throw error;
  }
}
