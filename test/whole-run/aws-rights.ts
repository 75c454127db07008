// What was asked of AWS, and by whom, against what the policies grant. Pure.
import type { AwsRequest } from "../local/aws-requests.ts";

export interface Principal {
  readonly kind: "root" | "user" | "role";
  readonly name: string;
}

/** Whose each access key is, as the answers tell it that gave them. */
export function principalsOf(requests: readonly AwsRequest[]): ReadonlyMap<string, Principal> {
  const root: Principal = { kind: "root", name: "root" };
  const known = new Map<string, Principal>();
  for (const { key = "", createdKey, user, role } of requests) {
    // The id of an account is the key of its root to the emulator.
    if (/^\d{12}$/.test(key)) known.set(key, root);
    if (createdKey === undefined) continue;
    known.set(createdKey, user === undefined ? { kind: "role", name: role ?? "" } : { kind: "user", name: user });
  }
  return known;
}

export interface Findings {
  /** Granted and used. */
  readonly used: ReadonlySet<string>;
  /** Asked for, allowed or not, though the policy does not grant it. */
  readonly beyond: readonly string[];
  /** Denied though the policy grants it and was in force. */
  readonly denied: readonly string[];
}

const describeRequest = ({ time, action, error = "", repository = "" }: AwsRequest, { name }: Principal): string =>
  [time, name, action, repository, error].filter((part) => part !== "").join(" ");

const isDenied = ({ error = "" }: AwsRequest): boolean => error.startsWith("AccessDenied");

/** How long IAM may take to know of a policy, in milliseconds. */
const propagationMs = 2_000;

/** Judges what some principals asked for whose rights are these. `isInForce` says whether they had them at that moment. */
export function checkPrincipals(
  requests: readonly AwsRequest[],
  granted: ReadonlySet<string>,
  principalOf: (request: AwsRequest) => Principal | undefined,
  isInForce: (request: AwsRequest, principal: Principal) => boolean,
): Findings {
  const verdict = { used: new Set<string>(), beyond: [] as string[], denied: [] as string[] };
  for (const request of requests) {
    const principal = principalOf(request);
    if (principal === undefined) continue;
    const { action, impliedActions = [], status } = request;
    if (status < 400) for (const one of [action, ...impliedActions]) verdict.used.add(one);
    if (![action, ...impliedActions].every((one) => granted.has(one)))
      verdict.beyond.push(describeRequest(request, principal));
    else if (isDenied(request) && isInForce(request, principal))
      verdict.denied.push(describeRequest(request, principal));
  }
  return verdict;
}

/** Tells when users and roles had the stack's policy, and no other that may take its right away. */
export class Attachments {
  /** Since when, by `user NAME` or `role NAME`. */
  readonly #changes = new Map<string, { readonly time: number; readonly isWhole: boolean }[]>();

  constructor(requests: readonly AwsRequest[]) {
    for (const { time, action, user, role, status } of requests) {
      const change = /^iam:(Attach|Detach|Put|Delete)(User|Role)Policy$/.exec(action)?.[1];
      if (change === undefined || status >= 400) continue;
      const who = user === undefined ? `role ${role ?? ""}` : `user ${user}`;
      const changes = this.#changes.get(who) ?? [];
      // One that is put may deny; when it is deleted the attached one is in force again.
      changes.push({ time: Date.parse(time), isWhole: change === "Attach" || change === "Delete" });
      this.#changes.set(who, changes);
    }
  }

  isInForce({ time }: AwsRequest, { kind, name }: Principal): boolean {
    const changes = this.#changes.get(`${kind} ${name}`) ?? [];
    const last = changes.findLast((one) => one.time <= Date.parse(time));
    return last?.isWhole === true && last.time < Date.parse(time) - propagationMs;
  }
}

/**
 * The principals that are helpers: all but the account's root, deployers, the node, whose own role is not the stack's, those
 * that the tests of the AWS plugin make, and those that try to get more rights than they have.
 */
export const isHelper = ({ kind, name }: Principal, nodeRole: string): boolean =>
  kind !== "root" && !isDeployer({ kind, name }) && name !== nodeRole && !/^(plugin|intruder)-/.test(name);

/**
 * Of such repositories the tests expect that the stack's policy does not open them, of such roles that they trust nobody, and of
 * such clusters that they are none of the deployer's.
 */
export const isRefusedOnPurpose = ({ repository = "", role = "", cluster = "", status }: AwsRequest): boolean =>
  /:repository\/refused-/.test(repository) ||
  ([role, cluster].some((name) => name.startsWith("refused-")) && status === 403);

export const isDeployer = ({ name }: Principal): boolean => name.startsWith("deployer-");

/** What infra/deployer-policy.json grants, and the stand-in of AWS' provider never asks for: why, and which actions. */
export const usedByProviderOnly: Readonly<Record<string, readonly string[]>> = {
  "Pulumi's AWS provider reads with these what else a role has, before it deletes it": [
    "iam:ListInstanceProfilesForRole",
    "iam:ListRolePolicies",
  ],
  "Pulumi's AWS provider puts the path right with this one; a user of another path is none that the policy is about": [
    "iam:UpdateUser",
  ],
  "it finds an association that somebody else made; the provider knows its own by its id": [
    "eks:ListPodIdentityAssociations",
  ],
};

/** The emulator takes tags of these when they are made, and no others afterwards. */
export const unknownToEmulator = ["eks:UntagResource", "iam:UntagOpenIDConnectProvider"] as const;
