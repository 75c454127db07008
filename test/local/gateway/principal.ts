// The types of a principal, and of the policies that decide what it may do.
import type { Tag } from "@aws-sdk/client-iam";

/** An IAM identity that signs requests: an account's root, a user, or a session of a role. */
export interface Principal {
  readonly kind: "root" | "user" | "session";
  /** The ARN of the user, of the role's session, or of the account's root. */
  readonly arn: string;
  /** The account's id, 12 digits. */
  readonly account: string;
  /** The name of the user or the role. */
  readonly name: string;
  /** IAM's unique id of the user or the role: an entity that is recreated under a name has another one. */
  readonly id: string;
  /** Only for a session: the parameters of its AssumeRole call. */
  readonly session?: SessionLimits;
}

/** The parameters of AssumeRole that limit a session or tag it. */
export interface SessionLimits {
  /** The inline session policy, as JSON. */
  readonly policy: string | undefined;
  readonly policyArns: readonly string[];
  readonly tags: readonly Tag[];
  /** The keys of the tags that are passed on when the session assumes another role. */
  readonly transitive: readonly string[];
  /** When the session began, in ISO 8601. */
  readonly since: string;
}

/** A policy document with the name that the evaluation reports. */
export interface Policy {
  readonly name: string;
  readonly policy: unknown;
}

/** Everything in IAM that decides what a principal may do. */
export interface Policies {
  /** The ARN of the user or the role itself, which is the value of `aws:PrincipalArn`. */
  readonly principalArn: string;
  readonly identity: readonly Policy[];
  readonly boundary: readonly Policy[] | undefined;
  readonly session: unknown;
  readonly tags: readonly Tag[];
}
