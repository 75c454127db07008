// Who may assume the helper's role: the trust policies, as pure documents.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
import { literalArn } from "./config/aws-names.ts";
import type { Registry } from "./registry.ts";

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

export interface TrustPolicy {
  readonly Version: "2012-10-17";
  readonly Statement: readonly [Statement];
}

const policy = (statement: Statement): TrustPolicy => ({ Version: "2012-10-17", Statement: [statement] });

/** What a token for AWS is meant for, in every partition. */
export const audience = "sts.amazonaws.com";

/** Tokens of one service account, meant for AWS, by the provider of the given ARN; `issuer` has no `https://`. */
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

/** EKS Pod Identity, for the pods of one service account in one cluster: it tags the session with all three. */
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

/** ARNs of roles and users, or account ids: kube2iam and kiam assume the role by the one that their node has. */
export const principalTrust = (principals: readonly string[]): TrustPolicy =>
  policy({ Effect: "Allow", Principal: { AWS: principals }, Action: "sts:AssumeRole" });

/**
 * What assuming a role takes. A session of EKS Pod Identity has tags that go along, all of them:
 * https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html
 */
export const assumeActions = (identity: string): readonly string[] =>
  identity === "podIdentity" ? ["sts:AssumeRole", "sts:TagSession"] : ["sts:AssumeRole"];

/**
 * The helper alone, by its ARN: as the principal itself it would have to be there before the role, and be another one when it
 * is made anew. Where the stack does not know it, whoever the account gives the right to assume the role.
 */
export const helperTrust = (
  { partition, accountId }: Registry,
  helper: string | undefined,
  actions: readonly string[],
): TrustPolicy =>
  policy({
    Effect: "Allow",
    Principal: { AWS: `arn:${partition}:iam::${accountId}:root` },
    Action: actions,
    ...(helper === undefined ? {} : { Condition: { ArnEquals: { "aws:PrincipalArn": literalArn(helper) } } }),
  });
