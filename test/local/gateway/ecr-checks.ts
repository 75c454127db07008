// Checks of Amazon ECR's API that the emulator lacks: rights on repositories that are not named by repositoryName, the right to tag
// a new repository, and the validity of a repository's policy.
import { GetRoleCommand, GetUserCommand, type IAMClient } from "@aws-sdk/client-iam";
import { validateResourcePolicy } from "@cloud-copilot/iam-policy";
import type { AwsOperation } from "../aws-requests.ts";
import type { Emulator, RegistryId } from "./emulator.ts";
import type { Refusal } from "./iam-checks.ts";
import { undefinedIfNoEntity } from "./iam-entities.ts";
import type { Principal } from "./principal.ts";
import type { Principals } from "./principals.ts";
import type { RepositoryId, Rights } from "./rights.ts";

interface EcrRequest {
  readonly registryId?: string;
  readonly repositoryName?: string;
  readonly repositoryNames?: readonly string[];
  readonly resourceArn?: string;
  readonly policyText?: string;
}

/** The parts of the gateway that the checks use. */
export interface EcrContext {
  readonly emulator: Emulator;
  readonly principals: Principals;
  readonly rights: Rights;
  /** The address that the request comes from. */
  readonly address: string;
}

const refusal = (code: string, message: string): Refusal => ({ status: 400, code, message });

const noRepository = "the local cloud does not know which rights a request needs that names no repository";
const noOtherAccount = "the local cloud has no API for another account";

/** Refuses a request as ECR does; undefined where the emulator may handle it. */
export async function checkEcr(
  operation: AwsOperation,
  body: Buffer,
  context: EcrContext & { readonly principal: Principal },
): Promise<Refusal | undefined> {
  const { principal } = context;
  if (operation.action === "ecr:GetAuthorizationToken") return undefined;
  const request = parse(body.toString()) as EcrRequest | undefined;
  if (request === undefined) return refusal("SerializationException", "the body is no JSON");
  const { registryId: account = principal.account } = request;
  if (account !== principal.account) return refusal("InvalidParameterException", `${noOtherAccount}: ${account}`);
  return (await checkRights(operation, request, principal, context)) ?? checkPolicy(operation, request, context);
}

async function checkPolicy(
  { action }: AwsOperation,
  { policyText = "" }: EcrRequest,
  { emulator }: EcrContext,
): Promise<Refusal | undefined> {
  if (action !== "ecr:SetRepositoryPolicy") return undefined;
  return (await principalIdsIn(policyText, emulator)) === undefined ? invalidPolicy : undefined;
}

/** Records the principals in a repository policy that the emulator has just set. */
export async function recordPolicyPrincipals(
  { key = "", region = "" }: AwsOperation,
  body: Buffer,
  context: EcrContext,
): Promise<void> {
  const { repositoryName: name = "", policyText = "" } = JSON.parse(body.toString()) as EcrRequest;
  const [principal, ids] = [
    await context.principals.findByKey(key),
    await principalIdsIn(policyText, context.emulator),
  ];
  if (principal !== undefined && ids !== undefined)
    context.rights.recordPrincipals({ account: principal.account, region, name }, ids);
}

async function checkRights(
  { action, impliedActions = [], region = "" }: AwsOperation,
  request: EcrRequest,
  principal: Principal,
  { rights, address }: EcrContext,
): Promise<Refusal | undefined> {
  const repositories = repositoriesOf(request, { account: principal.account, region });
  if (repositories.length === 0 && principal.kind !== "root")
    return refusal("InvalidParameterException", `${noRepository}: ${action}`);
  for (const repository of repositories) {
    const message = await rights.refusal({ principal, address, actions: [action, ...impliedActions], repository });
    if (message !== undefined) return refusal("AccessDeniedException", message);
  }
  return undefined;
}

/** The repositories that a request names, in any of its fields. */
function repositoriesOf(
  { repositoryName, repositoryNames = [], resourceArn = "" }: EcrRequest,
  registry: RegistryId,
): RepositoryId[] {
  const names = repositoryName === undefined ? repositoryNames : [repositoryName, ...repositoryNames];
  return [...names.map((name) => ({ ...registry, name })), ...repositoryIn(resourceArn)];
}

function repositoryIn(arn: string): RepositoryId[] {
  const [, region, account, name] = /^arn:aws:ecr:([^:]+):(\d{12}):repository\/(.+)$/.exec(arn) ?? [];
  return region === undefined || account === undefined || name === undefined ? [] : [{ account, region, name }];
}

const invalidPolicy = refusal(
  "InvalidParameterException",
  "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'",
);

/** In characters: the maximum length of PolicyText in the API's model. */
const maxPolicySize = 10_240;

interface Statement {
  readonly Principal?: string | Readonly<Record<string, string | readonly string[]>>;
  readonly NotPrincipal?: unknown;
  readonly Resource?: unknown;
  readonly NotResource?: unknown;
}

/** The unique ids of the principals in a repository's policy, by ARN; undefined where ECR rejects the policy. */
async function principalIdsIn(text: string, emulator: Emulator): Promise<ReadonlyMap<string, string> | undefined> {
  const document = parse(text);
  if (text.length > maxPolicySize || document === undefined || validateResourcePolicy(document).length > 0)
    return undefined;
  const statements = [(document as { Statement: Statement | Statement[] }).Statement].flat();
  if (statements.length === 0 || !statements.every(isWhole)) return undefined;
  const ids = new Map<string, string>();
  for (const arn of new Set(statements.flatMap(principalsIn))) {
    const id = await idOf(arn, emulator);
    if (id === undefined) return undefined;
    ids.set(arn, id);
  }
  return ids;
}

/** Whether a statement has a principal and no resource, which is always the repository itself. */
const isWhole = (statement: Statement): boolean =>
  statement.Resource === undefined &&
  statement.NotResource === undefined &&
  (statement.NotPrincipal !== undefined ||
    typeof statement.Principal === "string" ||
    Object.values(statement.Principal ?? {}).flat().length > 0);

const principalsIn = ({ Principal }: Statement): string[] =>
  typeof Principal === "string" ? [Principal] : [Principal?.["AWS"] ?? []].flat();

/** The unique id of a principal, or `principal` itself for one without an id (`*`, an account). Undefined where it does not exist. */
async function idOf(principal: string, emulator: Emulator): Promise<string | undefined> {
  if (/^(\*|\d{12}|arn:aws:(iam::\d{12}:root|sts::\d{12}:federated-user\/.+))$/.test(principal)) return principal;
  for (const [pattern, look] of lookUps) {
    const [, account, name = ""] = pattern.exec(principal) ?? [];
    if (account === undefined) continue;
    const found = await look(name, emulator.iam(account));
    // A session's ARN does not contain the path of its role, so it is not compared.
    return found?.arn === principal || pattern === ofSession ? found?.id : undefined;
  }
  return undefined;
}

const ofSession = /^arn:aws:sts::(\d{12}):assumed-role\/([^/]+)\/[^/]+$/;

interface Entity {
  readonly arn: string | undefined;
  readonly id: string | undefined;
}

async function userNamed(UserName: string, iam: IAMClient): Promise<Entity | undefined> {
  const answer = await undefinedIfNoEntity(iam.send(new GetUserCommand({ UserName })));
  return answer && { arn: answer.User?.Arn, id: answer.User?.UserId };
}

async function roleNamed(RoleName: string, iam: IAMClient): Promise<Entity | undefined> {
  const answer = await undefinedIfNoEntity(iam.send(new GetRoleCommand({ RoleName })));
  return answer && { arn: answer.Role?.Arn, id: answer.Role?.RoleId };
}

const lookUps = [
  [/^arn:aws:iam::(\d{12}):user\/(?:.*\/)?([^/]+)$/, userNamed],
  [/^arn:aws:iam::(\d{12}):role\/(?:.*\/)?([^/]+)$/, roleNamed],
  [ofSession, roleNamed],
] as const;

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // The caller refuses it as invalid.
  }
}
