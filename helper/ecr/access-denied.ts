// What AWS says of a helper that it does not know or does not allow, and where to look for the reason.
import type { HelperConfig } from "../config/helper-config.ts";

/**
 * How long such an answer may come of IAM's taking its time to spread what was just made, in milliseconds:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
 */
export const iamPropagationMs = 2 * 60_000;

/** By the names that ECR, STS, and the SDK where it finds no credentials, give to such errors. */
const refusals =
  /^(AccessDenied|UnrecognizedClient|Invalid(ClientTokenId|Signature|IdentityToken)|IDP\w+|CredentialsProvider)(Exception|Error)?$/;

export const isAccessDenied = (error: unknown): boolean => error instanceof Error && refusals.test(error.name);

/** What to check where AWS refuses a helper of this configuration. */
export function accessDeniedHint({ identity, principal, pushRole, namespace, deployment }: HelperConfig): string {
  const policy = "has the policy that the stack's output policyArn names";
  const limits = "no permissions boundary or service control policy denies ecr:GetAuthorizationToken";
  const account = `system:serviceaccount:${namespace}:${deployment}`;
  const checks = {
    accessKey: [
      `the user ${principal} ${policy}`,
      "its access key is active (a higher accessKeyGeneration makes another)",
    ],
    irsa: [
      `the role ${principal} ${policy}`,
      `its trust policy names ${account} and the OIDC provider of this cluster`,
      "AWS can reach the issuer's keys",
    ],
    podIdentity: [
      `the role ${principal} ${policy}`,
      `EKS has an association of it with ${account}`,
      "the add-on eks-pod-identity-agent runs on the node",
    ],
    kube2iam: [
      `the role ${principal} ${policy}`,
      "its trust policy names the nodes' role, which may assume it",
      "kube2iam or kiam runs on the node and lets this namespace have the role",
    ],
    node: [`the nodes' role ${policy}`, "pods reach the instance metadata service (a hop limit of 2)"],
  };
  const push = pushRole === undefined ? [] : [`it may assume the role ${pushRole}, which the logins that push are for`];
  return `check that ${[...checks[identity], ...push, limits].join("; that ")}`;
}
