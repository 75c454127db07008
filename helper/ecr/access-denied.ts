// Recognises that AWS denied access, and says what to check then.
import type { HelperConfig } from "../config/helper-config.ts";

/**
 * How long IAM may take to propagate new permissions, in milliseconds: until then, a denial may be temporary.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
 */
export const iamPropagationMs = 2 * 60_000;

/** The names of such errors by ECR and STS, and by the SDK where it finds no credentials. */
const denials =
  /^(AccessDenied|UnrecognizedClient|Invalid(ClientTokenId|Signature|IdentityToken)|IDP\w+|CredentialsProvider)(Exception|Error)?$/;

/** Whether AWS does not know the helper, or does not allow the request. */
export const isAccessDenied = (error: unknown): boolean => error instanceof Error && denials.test(error.name);

/** What to check when AWS denies access to the token of this name to a helper with this configuration, for the log. */
export function accessDeniedHint(config: HelperConfig, name: string): string {
  const { service, role, login, hosts } = config.allTokenRequests.get(name) ?? {};
  const isPublic = service === "ecr-public";
  const getToken = isPublic
    ? "ecr-public:GetAuthorizationToken or sts:GetServiceBearerToken"
    : "ecr:GetAuthorizationToken";
  const limits = `no permissions boundary or service control policy denies ${getToken}`;
  const checks = [...identityChecks(config), limits];
  if (role === undefined || hosts === undefined) return asText(checks);
  const { roleArn, externalId } = role;
  if (login === "push")
    return asText([`it may assume the role ${roleArn}, which requests the tokens for pushes`, ...checks]);
  const external = externalId === undefined ? "without an external id" : "with the external id of the configuration";
  return asText([
    `the role ${roleArn}, which requests the token for ${listed(hosts)}, exists and trusts this helper ${external}, ` +
      "as the stack's output registryTrustPolicies has it, or as the stack has made it for a group",
    `the role may ${getToken.replace(" or ", " and ")}`,
    ...checks,
  ]);
}

const asText = (checks: readonly string[]): string => `check that ${checks.join("; that ")}`;

/** The first of the hosts, as there may be many. */
const listed = (hosts: readonly string[]): string =>
  hosts.length <= 3 ? hosts.join(", ") : `${hosts.slice(0, 2).join(", ")} and ${String(hosts.length - 2)} others`;

/** What the helper's own identity needs: its policy also allows it to assume the roles. */
function identityChecks({ identity, principal, namespace, deployment }: HelperConfig): string[] {
  const policy = "has the policy that the stack's output policyArn names";
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
  return checks[identity];
}
