// Sessions of roles: read from the requests to STS and its responses. Pure, except for the look-up of managed policies.
import type { Principal, SessionLimits } from "./principal.ts";

/** A session that STS has just begun. */
export interface StsSession {
  /** The id of its access key. */
  readonly key: string;
  readonly principal: Principal;
  /** In milliseconds since the epoch. */
  readonly expiresAt: number;
}

const assumedRole = /<AssumedRoleUser>.*?<Arn>(arn:[\w-]+:sts::(\d{12}):assumed-role\/([^/<]+)\/[^<]+)<\/Arn>/s;

/** The session in a response of STS; undefined where the response has none. */
export function parseSession(response: string): StsSession | undefined {
  const [, arn, account, name] = assumedRole.exec(response) ?? [];
  if (arn === undefined || account === undefined || name === undefined) return undefined;
  const [id] = elementOf(response, "AssumedRoleId").split(":");
  const expiresAt = Date.parse(elementOf(response, "Expiration"));
  const principal: Principal = { kind: "session", arn, account, name, id: id ?? "" };
  return { key: elementOf(response, "AccessKeyId"), principal, expiresAt };
}

const elementOf = (response: string, name: string): string =>
  new RegExp(`<${name}>([^<]+)</${name}>`).exec(response)?.[1] ?? "";

/** The limits and tags in the form of an AssumeRole request. */
export function sessionLimits(form: URLSearchParams): Omit<SessionLimits, "since"> {
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

/**
 * The session policies as one document, because together they allow what any one of them allows; undefined where the session
 * has none. `managed` gives the document of a managed policy by its ARN.
 */
export async function sessionPolicy(
  limits: SessionLimits | undefined,
  managed: (arn: string) => Promise<unknown>,
): Promise<unknown> {
  if (limits === undefined || (limits.policy === undefined && limits.policyArns.length === 0)) return undefined;
  const documents = await Promise.all(limits.policyArns.map(managed));
  if (limits.policy !== undefined) documents.push(JSON.parse(limits.policy));
  const statements = (documents as { Statement: unknown }[]).flatMap(({ Statement }) => Statement);
  return { Version: "2012-10-17", Statement: statements };
}
