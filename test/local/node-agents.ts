// The agents on an EKS node that give pods credentials: EKS Pod Identity's, and the instance metadata service behind kube2iam. All
// credentials come from the emulator's STS, which checks the roles' trust policies.
import { randomBytes } from "node:crypto";
import * as eks from "@aws-sdk/client-eks";
import { AssumeRoleCommand, STSClient, type Tag } from "@aws-sdk/client-sts";
import { adminKube } from "./control-plane.ts";
import type { EksResponse, EksRequest } from "./eks-request.ts";
import { account, aws, cluster, nodeRole, roleArn } from "./settings.ts";

const clients = { eks: new eks.EKSClient(), sts: new STSClient() };
const kube = adminKube();

async function assume(sts: STSClient, RoleArn: string, session: string, Tags: Tag[] = []) {
  // EKS Pod Identity passes all of its tags on to roles that the session assumes.
  const TransitiveTagKeys = Tags.map(({ Key = "" }) => Key);
  const input = { RoleArn, RoleSessionName: session, Tags, TransitiveTagKeys };
  const { Credentials } = await sts.send(new AssumeRoleCommand(input));
  const { AccessKeyId = "", SecretAccessKey = "", SessionToken = "", Expiration } = Credentials ?? {};
  return { AccessKeyId, SecretAccessKey, Token: SessionToken, Expiration: Expiration?.toISOString() ?? "" };
}

interface User {
  readonly username: string;
  readonly extra: Readonly<Record<string, string[]>>;
}

/** The user of a service account token with the audience of EKS Pod Identity; an empty name for any other token. */
async function userOf(token: string): Promise<User> {
  const spec = { token, audiences: ["pods.eks.amazonaws.com"] };
  const { status } = await kube<{ status: { user?: Partial<User> } }>({
    method: "POST",
    path: "/apis/authentication.k8s.io/v1/tokenreviews",
    body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec },
  });
  return { username: "", extra: {}, ...status.user };
}

async function associatedRole(namespace: string, serviceAccount: string): Promise<string | undefined> {
  const wanted = { clusterName: cluster, namespace, serviceAccount };
  const { associations = [] } = await clients.eks.send(new eks.ListPodIdentityAssociationsCommand(wanted));
  const [{ associationId } = {}] = associations;
  if (associationId === undefined) return undefined;
  const one = new eks.DescribePodIdentityAssociationCommand({ clusterName: cluster, associationId });
  return (await clients.eks.send(one)).association?.roleArn;
}

/** EKS Pod Identity: credentials of the role that is associated with the service account of the request's token. */
async function podIdentity({ headers }: EksRequest): Promise<EksResponse> {
  const user = await userOf(headers.authorization ?? "");
  const [, namespace, serviceAccount] = /^system:serviceaccount:([^:]+):(.+)$/.exec(user.username) ?? [];
  if (namespace === undefined || serviceAccount === undefined) return undefined;
  const role = await associatedRole(namespace, serviceAccount);
  if (role === undefined) return undefined;
  const tags = {
    "eks-cluster-arn": `arn:aws:eks:${aws.AWS_REGION}:${account}:cluster/${cluster}`,
    "eks-cluster-name": cluster,
    "kubernetes-namespace": namespace,
    "kubernetes-service-account": serviceAccount,
    "kubernetes-pod-name": user.extra["authentication.kubernetes.io/pod-name"]?.[0] ?? "",
  };
  const Tags = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
  return assume(clients.sts, role, `eks-${serviceAccount}`, Tags);
}

const sessions = new Set<string>();

function metadataToken(): EksResponse {
  const token = randomBytes(32).toString("base64url");
  sessions.add(token);
  return token;
}

interface Pod {
  metadata: { name: string; namespace: string; annotations?: Record<string, string> };
  status: { phase: string };
}

async function podOf(address: string): Promise<Pod | undefined> {
  const path = `/api/v1/pods?fieldSelector=status.podIP%3D${address}`;
  const { items } = await kube<{ items: Pod[] }>({ method: "GET", path });
  return items.find(({ status }) => status.phase === "Pending" || status.phase === "Running");
}

/** Whether the pod's namespace allows a role: kube2iam's --namespace-restrictions. */
async function isAllowedRole({ metadata: { namespace } }: Pod, arn: string): Promise<boolean> {
  const { metadata } = await kube<Pod>({ method: "GET", path: `/api/v1/namespaces/${namespace}` });
  const allowed = JSON.parse(metadata.annotations?.["iam.amazonaws.com/allowed-roles"] ?? "[]") as string[];
  return allowed.includes(arn);
}

/** The instance metadata service, version 2: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html */
async function metadata({ path, headers, address }: EksRequest): Promise<EksResponse> {
  const pod = await podOf(address);
  if (pod === undefined || !sessions.has(String(headers["x-aws-ec2-metadata-token"]))) return undefined;
  // kube2iam returns the role in the pod's annotation. Without one the metadata service returns the node's role.
  const arn = pod.metadata.annotations?.["iam.amazonaws.com/role"] ?? roleArn(nodeRole);
  const [name = ""] = arn.split("/").slice(-1);
  const list = "/latest/meta-data/iam/security-credentials/";
  if (path === list) return name;
  return path === `${list}${name}` ? roleCredentials(pod, arn) : undefined;
}

async function roleCredentials(pod: Pod, arn: string): Promise<EksResponse> {
  const own = await assume(clients.sts, roleArn(nodeRole), "i-0123456789abcdef0");
  const answer = { Code: "Success", Type: "AWS-HMAC", LastUpdated: new Date().toISOString() };
  if (arn === roleArn(nodeRole)) return { ...answer, ...own };
  if (!(await isAllowedRole(pod, arn))) return undefined;
  const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken } = own;
  const asNode = new STSClient({ credentials: { accessKeyId, secretAccessKey, sessionToken } });
  return { ...answer, ...(await assume(asNode, arn, pod.metadata.name.slice(-60))) };
}

type Agent = (request: EksRequest) => Promise<EksResponse>;

const agents: readonly [start: string, agent: Agent][] = [
  ["GET /healthz", async () => Promise.resolve("ok")],
  ["GET /v1/credentials", podIdentity],
  ["PUT /latest/api/token", async () => Promise.resolve(metadataToken())],
  ["GET /latest/meta-data", metadata],
];

/** Answers a request of a pod; undefined, which is a refusal, for a path that no agent has. */
export async function serveNode(request: EksRequest): Promise<EksResponse> {
  const { method, path } = request;
  return agents.find(([start]) => `${method} ${path}`.startsWith(start))?.[1](request);
}
