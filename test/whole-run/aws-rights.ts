// Compares the requests to AWS, by principal, with what the policies grant. Pure.
import type { AwsRequest } from "../local/aws-requests.ts";

/** Who sent a request to AWS. */
export interface Principal {
  readonly kind: "root" | "user" | "role";
  readonly name: string;
}

/** The principal of each access key, from the responses that issued the keys. */
export function principalsOf(requests: readonly AwsRequest[]): ReadonlyMap<string, Principal> {
  const root: Principal = { kind: "root", name: "root" };
  const known = new Map<string, Principal>();
  for (const { key = "", createdKey, user, role } of requests) {
    // The emulator takes an account id for the access key of the account's root.
    if (/^\d{12}$/.test(key)) known.set(key, root);
    if (createdKey === undefined) continue;
    known.set(createdKey, user === undefined ? { kind: "role", name: role ?? "" } : { kind: "user", name: user });
  }
  return known;
}

/** How requests compare with the policies. */
export interface Findings {
  /** The actions of successful requests. */
  readonly used: ReadonlySet<string>;
  /** Requests for actions that the policies do not grant, allowed or not. */
  readonly beyond: readonly string[];
  /** Requests that were denied although the policies grant them and were in force. */
  readonly denied: readonly string[];
}

const describeRequest = ({ time, action, error = "", repository = "" }: AwsRequest, { name }: Principal): string =>
  [time, name, action, repository, error].filter((part) => part !== "").join(" ");

const isDenied = ({ error = "" }: AwsRequest): boolean => error.startsWith("AccessDenied");

/** The time that IAM may take to apply a policy, in milliseconds. */
const propagationMs = 2_000;

/**
 * Compares the requests for which `principalOf` returns a principal with the granted actions. `isInForce` tells whether the
 * principal's policies granted them at the time of the request.
 */
export function checkPrincipals(
  requests: readonly AwsRequest[],
  granted: ReadonlySet<string>,
  principalOf: (request: AwsRequest) => Principal | undefined,
  isInForce: (request: AwsRequest, principal: Principal) => boolean,
): Findings {
  const findings = { used: new Set<string>(), beyond: [] as string[], denied: [] as string[] };
  for (const request of requests) {
    const principal = principalOf(request);
    if (principal === undefined) continue;
    const { action, impliedActions = [], status } = request;
    if (status < 400) for (const one of [action, ...impliedActions]) findings.used.add(one);
    if (![action, ...impliedActions].every((one) => granted.has(one)))
      findings.beyond.push(describeRequest(request, principal));
    else if (isDenied(request) && isInForce(request, principal))
      findings.denied.push(describeRequest(request, principal));
  }
  return findings;
}

/** The times at which users and roles had the stack's policy, and no inline policy that may deny its rights. */
export class Attachments {
  /** The changes of each `user NAME` or `role NAME`, in the order of the requests. */
  readonly #changes = new Map<string, { readonly time: number; readonly isWhole: boolean }[]>();

  constructor(requests: readonly AwsRequest[]) {
    for (const { time, action, user, role, status } of requests) {
      const change = /^iam:(Attach|Detach|Put|Delete)(User|Role)Policy$/.exec(action)?.[1];
      if (change === undefined || status >= 400) continue;
      const principal = user === undefined ? `role ${role ?? ""}` : `user ${user}`;
      const changes = this.#changes.get(principal) ?? [];
      // An inline policy may deny rights; after its deletion the attached policy is in force again.
      changes.push({ time: Date.parse(time), isWhole: change === "Attach" || change === "Delete" });
      this.#changes.set(principal, changes);
    }
  }

  /** Whether a principal's policy was in force at the time of a request, and IAM must have applied it. */
  isInForce({ time }: AwsRequest, { kind, name }: Principal): boolean {
    const changes = this.#changes.get(`${kind} ${name}`) ?? [];
    const last = changes.findLast((one) => one.time <= Date.parse(time));
    return last?.isWhole === true && last.time < Date.parse(time) - propagationMs;
  }
}

/**
 * Whether a principal is a helper. All are, except the account's root, deployers, the node, whose own role is not the stack's,
 * the principals that tests of the AWS plugin create, those that log in to EKS and may assume a role for it, and the intruders,
 * which try to get more rights than they have.
 */
export const isHelper = ({ kind, name }: Principal, nodeRole: string): boolean =>
  kind !== "root" && !isDeployer({ kind, name }) && name !== nodeRole && !/^(plugin|intruder|login)-/.test(name);

/**
 * Whether a test expects the denial of a principal's request: the stack's policy does not include repositories with such names, or
 * includes them for the role of one group only; such roles trust no principal, and such clusters do not belong to the deployer.
 */
export function isRefusedOnPurpose(
  { repository = "", role = "", cluster = "", status }: AwsRequest,
  principal: Principal | undefined,
): boolean {
  const group = /:repository\/.*\/only-(\w+)\//.exec(repository)?.[1];
  const isOthers = group !== undefined && isOfAnother(group, principal);
  const isRefused = status === 403 && [role, cluster].some((one) => one.startsWith("refused-"));
  return isOthers || isRefused || /:repository\/refused-/.test(repository);
}

const isOfAnother = (group: string, principal: Principal | undefined): boolean =>
  principal !== undefined && principal.kind !== "root" && !principal.name.endsWith(`-${group}`);

/** Whether a principal deploys stacks. */
export const isDeployer = ({ name }: Principal): boolean => name.startsWith("deployer-");

/** Actions that infra/deployer-policy.json grants and that the local cloud's AWS plugin never requests, by the reason. */
export const usedByProviderOnly: Readonly<Record<string, readonly string[]>> = {
  "Pulumi's AWS provider reads a role's other policies and instance profiles with these before it deletes the role": [
    "iam:ListInstanceProfilesForRole",
    "iam:ListRolePolicies",
  ],
  "Pulumi's AWS provider corrects a user's path with this; the policy does not cover users with another path": [
    "iam:UpdateUser",
  ],
  "it finds associations of others; the provider reads its own by their id": ["eks:ListPodIdentityAssociations"],
};

/** Actions that the emulator does not have: it accepts tags of these resources at their creation only. */
export const unknownToEmulator = ["eks:UntagResource", "iam:UntagOpenIDConnectProvider"] as const;
