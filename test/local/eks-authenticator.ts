// Authenticates IAM principals to the local Kubernetes as EKS does: by a token of `aws eks get-token` and an access entry.
import * as eks from "@aws-sdk/client-eks";
import type { EksResponse, EksRequest } from "./eks-request.ts";
import { cluster, ports, url } from "./settings.ts";

const client = new eks.EKSClient();

/** Answers a TokenReview of the API server. A token of `aws eks get-token` is a presigned GetCallerIdentity request to STS. */
export async function reviewToken({ body }: EksRequest): Promise<EksResponse> {
  const { apiVersion, kind, spec } = JSON.parse(body) as { apiVersion: string; kind: string; spec: { token: string } };
  const arn = await callerOf(spec.token);
  const user = arn === undefined ? undefined : await clusterUserOf(arn);
  return { apiVersion, kind, status: user === undefined ? { authenticated: false } : { authenticated: true, user } };
}

async function callerOf(token: string): Promise<string | undefined> {
  const [, encoded = ""] = /^k8s-aws-v1\.(.+)$/.exec(token) ?? [];
  const signedUrl = URL.parse(Buffer.from(encoded, "base64url").toString());
  // A request to another host, or another action, could return any ARN that the client wants.
  if (signedUrl?.origin !== url(ports.gateway) || signedUrl.searchParams.get("Action") !== "GetCallerIdentity")
    return undefined;
  const answer = await fetch(signedUrl, { headers: { "x-k8s-aws-id": cluster } });
  return answer.ok ? /<Arn>([^<]+)<\/Arn>/.exec(await answer.text())?.[1] : undefined;
}

/** The user and groups of an IAM principal in the cluster, by its access entry; undefined where it has none. */
async function clusterUserOf(arn: string): Promise<{ username: string; groups: string[] } | undefined> {
  const principalArn = arn.replace(/^arn:aws:sts::(\d+):assumed-role\/([^/]+)\/.*$/, "arn:aws:iam::$1:role/$2");
  const wanted = { clusterName: cluster, principalArn };
  const found = await client.send(new eks.DescribeAccessEntryCommand(wanted)).catch((error: unknown) => {
    if (error instanceof eks.ResourceNotFoundException) return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  const { associatedAccessPolicies = [] } = await client.send(new eks.ListAssociatedAccessPoliciesCommand(wanted));
  const isAdmin = associatedAccessPolicies.some(({ policyArn }) => policyArn?.endsWith("/AmazonEKSClusterAdminPolicy"));
  const groups = [...(found.accessEntry?.kubernetesGroups ?? []), ...(isAdmin ? ["system:masters"] : [])];
  return { username: arn, groups };
}
