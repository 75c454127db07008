// The trust policies of the stack's roles: who may assume them.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
import type { RegistryRole } from "../helper/shared/registry-logins.ts";
import { literalArn } from "./config/aws-names.ts";
import type { Registry } from "./registry.ts";

/** A Kubernetes service account. */
export interface ServiceAccountName {
  readonly namespace: string;
  readonly name: string;
}

interface Statement {
  readonly Effect: "Allow";
  readonly Principal: Readonly<Record<string, string | readonly string[]>>;
  readonly Action: string | readonly string[];
  readonly Condition?: Readonly<Partial<Record<"StringEquals" | "ArnEquals", Readonly<Record<string, string>>>>>;
}

/** A trust policy document (`AssumeRolePolicyDocument`). */
export interface TrustPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement[];
}

const policy = (...statements: readonly Statement[]): TrustPolicy => ({ Version: "2012-10-17", Statement: statements });

/** The audience of service account tokens for AWS STS, in every partition. */
export const audience = "sts.amazonaws.com";

/** Trusts the AWS tokens of one service account, from the OIDC provider of that ARN. `issuer` has no `https://`. */
export const webIdentityTrust = (providerArn: string, issuer: string, account: ServiceAccountName): TrustPolicy =>
  policy({
    Effect: "Allow",
    Principal: { Federated: providerArn },
    Action: "sts:AssumeRoleWithWebIdentity",
    Condition: {
      StringEquals: {
        [`${issuer}:aud`]: audience,
        [`${issuer}:sub`]: `system:serviceaccount:${account.namespace}:${account.name}`,
      },
    },
  });

/**
 * Trusts EKS Pod Identity for one service account in one cluster: it tags the session with cluster, namespace and
 * account.
 */
export const podIdentityTrust = (clusterArn: string, account: ServiceAccountName): TrustPolicy =>
  policy({
    Effect: "Allow",
    Principal: { Service: "pods.eks.amazonaws.com" },
    Action: ["sts:AssumeRole", "sts:TagSession"],
    Condition: {
      StringEquals: {
        "aws:RequestTag/eks-cluster-arn": clusterArn,
        "aws:RequestTag/kubernetes-namespace": account.namespace,
        "aws:RequestTag/kubernetes-service-account": account.name,
      },
    },
  });

/**
 * Trusts ARNs of roles and users, or account ids: kube2iam and kiam assume the role with the credentials of their node.
 */
export const principalTrust = (principals: readonly string[]): TrustPolicy =>
  policy({ Effect: "Allow", Principal: { AWS: principals }, Action: "sts:AssumeRole" });

/**
 * The actions needed to assume a role. The tags of an EKS Pod Identity session are transitive, so they have to be allowed
 * too: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html
 */
export const assumeActions = (identity: string, hasTags = false): readonly string[] =>
  identity === "podIdentity" || hasTags ? ["sts:AssumeRole", "sts:TagSession"] : ["sts:AssumeRole"];

/**
 * Trusts only the helper, by a condition on its ARN. As the principal itself it would have to exist before the role,
 * and would no longer match once it is created anew. Where the stack does not know the helper, the account's IAM
 * policies decide.
 */
export const helperTrust = (own: Registry, helper: string | undefined, actions: readonly string[]): TrustPolicy =>
  policy(helperStatement(own, helper, actions, {}));

/**
 * The same for a registry's role: it is assumed with its external id only, and tagged with its session tags; a session may
 * have others, too. There are two statements because AWS has the external id for the action of assuming alone:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html
 */
export function registryTrust(
  own: Registry,
  helper: string | undefined,
  { externalId, sessionTags }: RegistryRole,
  actions: readonly string[],
): TrustPolicy {
  const tags = Object.entries(sessionTags).map(([key, value]) => [`aws:RequestTag/${key}`, value]);
  const [assume = "", ...further] = actions;
  return policy(
    helperStatement(own, helper, [assume], externalId === undefined ? {} : { "sts:ExternalId": externalId }),
    ...(further.length === 0 ? [] : [helperStatement(own, helper, further, Object.fromEntries(tags) as Values)]),
  );
}

type Values = Readonly<Record<string, string>>;

function helperStatement(
  { partition, accountId }: Registry,
  helper: string | undefined,
  actions: readonly string[],
  equal: Values,
): Statement {
  const Condition = {
    ...(helper === undefined ? {} : { ArnEquals: { "aws:PrincipalArn": literalArn(helper) } }),
    ...(Object.keys(equal).length === 0 ? {} : { StringEquals: equal }),
  };
  return {
    Effect: "Allow",
    Principal: { AWS: `arn:${partition}:iam::${accountId}:root` },
    Action: actions,
    ...(Object.keys(Condition).length === 0 ? {} : { Condition }),
  };
}
