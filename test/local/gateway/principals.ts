// Who asks AWS: the principal behind an access key, and the policies that hold for it, as IAM has them at this moment.
import {
  GetAccessKeyLastUsedCommand,
  GetAccountAuthorizationDetailsCommand,
  GetPolicyCommand,
  GetPolicyVersionCommand,
  GetRoleCommand,
  GetUserCommand,
  type IAMClient,
  type AttachedPolicy,
  type GetAccountAuthorizationDetailsResponse,
  type PolicyDetail,
  type Tag,
} from "@aws-sdk/client-iam";
import { account as ownAccount } from "../settings.ts";
import type { Emulator } from "./emulator.ts";

export interface Principal {
  readonly kind: "root" | "user" | "session";
  /** Of the user, of the session of a role, or of the account's root. */
  readonly arn: string;
  /** The account's id, 12 digits. */
  readonly account: string;
  /** Of the user or the role. */
  readonly name: string;
  /** IAM's unique id of the user or the role: what is made anew under a name is somebody else. */
  readonly id: string;
  /** Of a session: what AssumeRole was given. */
  readonly session?: SessionLimits;
}

export interface SessionLimits {
  readonly policy: string | undefined;
  readonly policyArns: readonly string[];
  readonly tags: readonly Tag[];
  /** The keys of those that go along when the session assumes a role. */
  readonly transitive: readonly string[];
  /** When the session began, in ISO 8601. */
  readonly since: string;
}

export interface Policy {
  readonly name: string;
  readonly policy: unknown;
}

/** What IAM lets a principal do, and what limits it. */
export interface Policies {
  /** Of the user or the role itself, as `aws:PrincipalArn` has it. */
  readonly principalArn: string;
  readonly identity: readonly Policy[];
  readonly boundary: readonly Policy[] | undefined;
  readonly session: unknown;
  readonly tags: readonly Tag[];
}

type Details = GetAccountAuthorizationDetailsResponse;

export class Principals {
  readonly #emulator: Emulator;
  /** By the access keys that STS gave, with the end of each in milliseconds since the epoch. */
  readonly #sessions = new Map<string, { readonly principal: Principal; readonly expiresAt: number }>();

  constructor(emulator: Emulator) {
    this.#emulator = emulator;
  }

  /** Takes note of whom an answer of STS to a request for a session is about. */
  recordSession(form: URLSearchParams, answer: string): void {
    const begun = parseSession(answer);
    if (begun === undefined) return;
    const session = { ...limitsOf(form), since: new Date().toISOString() };
    this.#sessions.set(begun.key, { principal: { ...begun.principal, session }, expiresAt: begun.until });
    for (const [old, { expiresAt }] of this.#sessions) if (expiresAt < Date.now()) this.#sessions.delete(old);
  }

  /** The principal that an access key is of; undefined where nobody has it, or where there is none. */
  async findByKey(key: string | undefined): Promise<Principal | undefined> {
    if (key === undefined) return undefined;
    // The key of an account's root is the account's id.
    if (/^\d{12}$/.test(key)) {
      return { kind: "root", arn: `arn:aws:iam::${key}:root`, account: key, name: "root", id: key };
    }
    return this.#sessions.get(key)?.principal ?? this.#userOf(key);
  }

  async #userOf(key: string): Promise<Principal | undefined> {
    const iam = this.#emulator.iam(ownAccount);
    const used = await undefinedIfNoEntity(iam.send(new GetAccessKeyLastUsedCommand({ AccessKeyId: key })));
    const answer = used && (await undefinedIfNoEntity(iam.send(new GetUserCommand({ UserName: used.UserName }))));
    const { Arn: arn, UserId: id, UserName: name } = answer?.User ?? {};
    return arn && id && name ? { kind: "user", arn, account: ownAccount, name, id } : undefined;
  }

  /** What holds for a principal now; undefined where there is no such user or role any more. */
  async policiesOf(principal: Principal): Promise<Policies | undefined> {
    const { kind, account, arn, name, id, session } = principal;
    if (kind === "root") {
      return { principalArn: arn, identity: [allowAll], boundary: undefined, session: undefined, tags: [] };
    }
    const iam = this.#emulator.iam(account);
    const details = await iam.send(new GetAccountAuthorizationDetailsCommand());
    const found = kind === "user" ? userOf(details, name) : roleOf(details, name);
    if (found?.id !== id) return undefined;
    const { inline, attached, tags } = found;
    const managed = async (arn: string): Promise<Policy> => ({
      name: arn,
      policy: await managedPolicy(iam, details, arn),
    });
    const boundary = await undefinedIfNoEntity(boundaryOf(iam, principal));
    return {
      principalArn: found.arn ?? arn,
      identity: [...inline, ...(await Promise.all(attached.map(async ({ PolicyArn = "" }) => managed(PolicyArn))))],
      boundary: boundary === undefined ? undefined : [await managed(boundary)],
      session: await sessionPolicy(session, async (arn) => (await managed(arn)).policy),
      tags: [...tags, ...(session?.tags ?? [])],
    };
  }
}

/** Undefined where IAM has no such user, role or key. */
export async function undefinedIfNoEntity<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if ((error as Error).name === "NoSuchEntityException") return undefined;
    throw error;
  }
}

const assumedRole = /<AssumedRoleUser>.*?<Arn>(arn:[\w-]+:sts::(\d{12}):assumed-role\/([^/<]+)\/[^<]+)<\/Arn>/s;

/** The session of a role that an answer of STS gives. */
function parseSession(answer: string): { key: string; principal: Principal; until: number } | undefined {
  const [, arn, account, name] = assumedRole.exec(answer) ?? [];
  if (arn === undefined || account === undefined || name === undefined) return undefined;
  const [id] = elementOf(answer, "AssumedRoleId").split(":");
  const until = Date.parse(elementOf(answer, "Expiration"));
  const principal: Principal = { kind: "session", arn, account, name, id: id ?? "" };
  return { key: elementOf(answer, "AccessKeyId"), principal, until };
}

const elementOf = (answer: string, name: string): string =>
  new RegExp(`<${name}>([^<]+)</${name}>`).exec(answer)?.[1] ?? "";

function limitsOf(form: URLSearchParams): Omit<SessionLimits, "since"> {
  const fields = [...form];
  return {
    policy: form.get("Policy") ?? undefined,
    policyArns: fields.filter(([field]) => field.startsWith("PolicyArns.member.")).map(([, value]) => value),
    tags: fields
      .filter(([field]) => /^Tags\.member\.\d+\.Key$/.test(field))
      .map(([field, Key]) => ({ Key, Value: form.get(field.replace(/Key$/, "Value")) ?? "" })),
    transitive: fields.filter(([field]) => field.startsWith("TransitiveTagKeys.member.")).map(([, key]) => key),
  };
}

const allowAll: Policy = {
  name: "root",
  policy: { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] },
};

interface Entity {
  readonly id: string | undefined;
  readonly arn: string | undefined;
  readonly inline: readonly Policy[];
  readonly attached: readonly AttachedPolicy[];
  readonly tags: readonly Tag[];
}

const inlinePolicies = (list: readonly PolicyDetail[] = []): Policy[] =>
  list.map(({ PolicyName = "", PolicyDocument = "" }) => ({ name: PolicyName, policy: parse(PolicyDocument) }));

/** IAM's documents are percent-encoded JSON. */
const parse = (document: string): unknown => JSON.parse(decodeURIComponent(document));

/** A user has the policies of its groups, too. */
function userOf({ UserDetailList = [], GroupDetailList = [] }: Details, name: string): Entity | undefined {
  const user = UserDetailList.find(({ UserName }) => UserName === name);
  if (user === undefined) return undefined;
  const groups = GroupDetailList.filter(({ GroupName = "" }) => user.GroupList?.includes(GroupName));
  return {
    id: user.UserId,
    arn: user.Arn,
    inline: inlinePolicies([...(user.UserPolicyList ?? []), ...groups.flatMap((one) => one.GroupPolicyList ?? [])]),
    attached: [user, ...groups].flatMap((one) => one.AttachedManagedPolicies ?? []),
    tags: user.Tags ?? [],
  };
}

function roleOf({ RoleDetailList = [] }: Details, name: string): Entity | undefined {
  const role = RoleDetailList.find(({ RoleName }) => RoleName === name);
  if (role === undefined) return undefined;
  return {
    id: role.RoleId,
    arn: role.Arn,
    inline: inlinePolicies(role.RolePolicyList),
    attached: role.AttachedManagedPolicies ?? [],
    tags: role.Tags ?? [],
  };
}

/** The account's own are in its details; those of AWS are asked for. */
async function managedPolicy(iam: IAMClient, { Policies = [] }: Details, PolicyArn: string): Promise<unknown> {
  const own = Policies.find(({ Arn }) => Arn === PolicyArn);
  const inForce = own?.PolicyVersionList?.find(({ VersionId }) => VersionId === own.DefaultVersionId);
  if (inForce?.Document !== undefined) return parse(inForce.Document);
  const { Policy: found } = await iam.send(new GetPolicyCommand({ PolicyArn }));
  const wanted = { PolicyArn, VersionId: found?.DefaultVersionId };
  const { PolicyVersion } = await iam.send(new GetPolicyVersionCommand(wanted));
  return parse(PolicyVersion?.Document ?? "");
}

async function boundaryOf(iam: IAMClient, { kind, name }: Principal): Promise<string | undefined> {
  const entity =
    kind === "user"
      ? (await iam.send(new GetUserCommand({ UserName: name }))).User
      : (await iam.send(new GetRoleCommand({ RoleName: name }))).Role;
  return entity?.PermissionsBoundary?.PermissionsBoundaryArn;
}

/** All that a session was limited to, as one document: together they allow what one of them does. */
async function sessionPolicy(
  limits: SessionLimits | undefined,
  managed: (arn: string) => Promise<unknown>,
): Promise<unknown> {
  if (limits === undefined || (limits.policy === undefined && limits.policyArns.length === 0)) return undefined;
  const documents = await Promise.all(limits.policyArns.map(managed));
  if (limits.policy !== undefined) documents.push(JSON.parse(limits.policy));
  const statements = (documents as { Statement: unknown }[]).flatMap(({ Statement }) => Statement);
  return { Version: "2012-10-17", Statement: statements };
}
