// Finds the principal behind an access key, and the policies that IAM has for it at this moment.
import {
  GetAccessKeyLastUsedCommand,
  GetAccountAuthorizationDetailsCommand,
  GetUserCommand,
  type GetAccountAuthorizationDetailsResponse,
  type IAMClient,
} from "@aws-sdk/client-iam";
import { account as ownAccount } from "../settings.ts";
import type { Emulator } from "./emulator.ts";
import { boundaryOf, findRole, findUser, managedPolicy, undefinedIfNoEntity } from "./iam-entities.ts";
import type { Policies, Policy, Principal } from "./principal.ts";
import { parseSession, sessionLimits, sessionPolicy, type StsSession } from "./sts-session.ts";

/** What the root of an account is allowed. */
const allowAll: Policy = {
  name: "root",
  policy: { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }] },
};

/** The principals of all accounts. Users are looked up in IAM; sessions are remembered, as IAM does not list them. */
export class Principals {
  readonly #emulator: Emulator;
  /** By the id of the access key that STS issued. */
  readonly #sessions = new Map<string, StsSession>();

  constructor(emulator: Emulator) {
    this.#emulator = emulator;
  }

  /** Remembers the session that a response of STS begins; any other response is ignored. `form` is the request's. */
  recordSession(form: URLSearchParams, response: string): void {
    const begun = parseSession(response);
    if (begun === undefined) return;
    const session = { ...sessionLimits(form), since: new Date().toISOString() };
    this.#sessions.set(begun.key, { ...begun, principal: { ...begun.principal, session } });
    for (const [key, { expiresAt }] of this.#sessions) if (expiresAt < Date.now()) this.#sessions.delete(key);
  }

  /** The principal that an access key belongs to; undefined for an unknown key, and without a key. */
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
    const response = used && (await undefinedIfNoEntity(iam.send(new GetUserCommand({ UserName: used.UserName }))));
    const { Arn: arn, UserId: id, UserName: name } = response?.User ?? {};
    return arn && id && name ? { kind: "user", arn, account: ownAccount, name, id } : undefined;
  }

  /** The policies of a principal as they are now; undefined where its user or role no longer exists. */
  async policiesOf(principal: Principal): Promise<Policies | undefined> {
    if (principal.kind === "root") {
      return { principalArn: principal.arn, identity: [allowAll], boundary: undefined, session: undefined, tags: [] };
    }
    const iam = this.#emulator.iam(principal.account);
    return policiesIn(await iam.send(new GetAccountAuthorizationDetailsCommand()), principal, iam);
  }
}

async function policiesIn(
  details: GetAccountAuthorizationDetailsResponse,
  principal: Principal,
  iam: IAMClient,
): Promise<Policies | undefined> {
  const { kind, arn, name, id, session } = principal;
  const entity = kind === "user" ? findUser(details, name) : findRole(details, name);
  if (entity?.id !== id) return undefined;
  const { inline, attached, tags } = entity;
  const managed = async (policyArn: string): Promise<Policy> => ({
    name: policyArn,
    policy: await managedPolicy(iam, details, policyArn),
  });
  const boundary = await undefinedIfNoEntity(boundaryOf(iam, principal));
  return {
    principalArn: entity.arn ?? arn,
    identity: [...inline, ...(await Promise.all(attached.map(async ({ PolicyArn = "" }) => managed(PolicyArn))))],
    boundary: boundary === undefined ? undefined : [await managed(boundary)],
    session: await sessionPolicy(session, async (policyArn) => (await managed(policyArn)).policy),
    tags: [...tags, ...(session?.tags ?? [])],
  };
}
