// Lets IAM principals into the local Kubernetes as EKS does: by the token of `aws eks get-token` and an access entry.
import * as eks from "@aws-sdk/client-eks";
import type { EksResponse, EksRequest } from "./eks-request.ts";
import { cluster, ports, url } from "./settings.ts";

const client = new eks.EKSClient();

/** Answers the API server's question whose token this is: `aws eks get-token` makes it of a presigned request to STS. */
export async function reviewToken({ body }: EksRequest): Promise<EksResponse> {
  const { apiVersion, kind, spec } = JSON.parse(body) as { apiVersion: string; kind: string; spec: { token: string } };
  const arn = await callerOf(spec.token);
  const user = arn === undefined ? undefined : await clusterUserOf(arn);
  return { apiVersion, kind, status: user === undefined ? { authenticated: false } : { authenticated: true, user } };
}

async function callerOf(token: string): Promise<string | undefined> {
  const [, encoded = ""] = /^k8s-aws-v1\.(.+)$/.exec(token) ?? [];
  const asked = URL.parse(Buffer.from(encoded, "base64url").toString());
  // Any other request, or one to anybody else, would let its maker answer for whomever he likes.
  if (asked?.origin !== url(ports.gateway) || asked.searchParams.get("Action") !== "GetCallerIdentity")
    return undefined;
  const answer = await fetch(asked, { headers: { "x-k8s-aws-id": cluster } });
  return answer.ok ? /<Arn>([^<]+)<\/Arn>/.exec(await answer.text())?.[1] : undefined;
}

/** Who an IAM principal is in the cluster, by its access entry; undefined for one that has none. */
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
