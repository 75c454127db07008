// Parses requests to AWS into the actions that IAM authorizes, and responses into what the audit log records. Pure.
import type { IncomingHttpHeaders } from "node:http";

/** One request as the audit log records it, without secrets. */
export interface AwsRequest {
  /** ISO 8601. */
  readonly time: string;
  /** The action's name in policies: `ecr:GetAuthorizationToken`. */
  readonly action: string;
  /** Further actions that have to be allowed for the same request, such as `iam:TagRole` for CreateRole with tags. */
  readonly impliedActions?: readonly string[];
  /** The id of the access key that signed the request, and the region it was signed for; absent where it is unsigned. */
  readonly key?: string;
  readonly region?: string;
  /** Only for requests to the registry: the repository's ARN. `key` is then the access key that got the token. */
  readonly repository?: string;
  /** Only for requests to IAM or STS: the names of the entities in the request. */
  readonly user?: string;
  readonly role?: string;
  readonly policy?: string;
  /** Only for requests to EKS: the name of the cluster. */
  readonly cluster?: string;
  readonly status: number;
  /** The error code, where the request failed. */
  readonly error?: string;
  /** The id of an access key that the response issued. */
  readonly createdKey?: string;
}

/** What a request asks for, without the time and the response. */
export type AwsOperation = Omit<AwsRequest, "time" | "status" | "error" | "createdKey">;

/** The parts of an incoming HTTP request that identify its operation. */
export interface ReceivedRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

const lastSegment = (arn: string | null): string | undefined => arn?.split("/").at(-1);

/** The operation that a request asks for; undefined where it is no request to the AWS API. */
export function parseAwsRequest(
  { method = "", url = "/", headers }: ReceivedRequest,
  body: Buffer,
): AwsOperation | undefined {
  const { pathname, searchParams } = new URL(url, "http://aws");
  const signer = parseCredentialScope(String(headers.authorization ?? searchParams.get("X-Amz-Credential")));
  const form = new URLSearchParams([...searchParams, ...new URLSearchParams(body.toString("latin1"))]);
  // AssumeRoleWithWebIdentity is the only unsigned request: its caller has no AWS credentials yet.
  const service = signer?.service ?? "sts";
  const operation = form.has("Action")
    ? parseForm(form, service)
    : parsers[service]?.(headers, `${method} ${pathname}`, body);
  return operation && { ...operation, ...(signer === undefined ? {} : { key: signer.id, region: signer.region }) };
}

function parseCredentialScope(text: string): { id: string; region: string; service: string } | undefined {
  const [, id, region, service] = /(\w+)\/\d+\/([\w-]+)\/([\w-]+)\//.exec(text) ?? [];
  if (id === undefined || region === undefined || service === undefined) return undefined;
  return { id, region, service };
}

function parseForm(form: URLSearchParams, service: string): AwsOperation {
  const action = `${service}:${form.get("Action") ?? ""}`;
  const kind = /^iam:Create(User|Role|Policy|OpenIDConnectProvider)$/.exec(action)?.[1];
  const names = {
    user: form.get("UserName"),
    role: form.get("RoleName") ?? lastSegment(form.get("RoleArn")),
    policy: form.get("PolicyName") ?? lastSegment(form.get("PolicyArn")),
  };
  const known = Object.fromEntries(Object.entries(names).filter(([, name]) => typeof name === "string"));
  const impliedActions = action === "sts:AssumeRole" && form.has("Tags.member.1.Key") ? ["sts:TagSession"] : [];
  return { action, impliedActions: kind === undefined ? impliedActions : impliedByForm(form, kind), ...known };
}

const impliedByForm = (form: URLSearchParams, kind: string): string[] => [
  ...(form.has("Tags.member.1.Key") ? [`iam:Tag${kind}`] : []),
  ...(form.has("PermissionsBoundary") ? [`iam:Put${kind}PermissionsBoundary`] : []),
];

const parsers: Readonly<Record<string, (headers: IncomingHttpHeaders, line: string, body: Buffer) => AwsOperation>> = {
  ecr: (headers, _line, body) => {
    const [name = ""] = String(headers["x-amz-target"]).split(".").slice(-1);
    const isTagged = name === "CreateRepository" && /"tags": *\[ *\{/.test(body.toString());
    return { action: `ecr:${name}`, impliedActions: isTagged ? ["ecr:TagResource"] : [] };
  },
  // Another target is no action that anybody can be allowed.
  "ecr-public": (headers) => {
    const name = String(headers["x-amz-target"]).replace(/^SpencerFrontendService\./, "");
    const impliedActions = name === "GetAuthorizationToken" ? ["sts:GetServiceBearerToken"] : [];
    return { action: `ecr-public:${name}`, impliedActions };
  },
  eks: (_headers, line, body) => {
    const name = eksOperations.find(([start]) => start.test(line))?.[1] ?? line;
    const impliedActions = [
      // The request passes the role to the EKS service.
      ...(name.endsWith("PodIdentityAssociation") && body.includes('"roleArn"') ? ["iam:PassRole"] : []),
      ...(name.startsWith("Create") && body.includes('"tags"') ? ["eks:TagResource"] : []),
    ];
    const cluster = /^\w+ \/clusters\/([^/?]+)/.exec(line)?.[1];
    return { action: `eks:${name}`, impliedActions, ...(cluster === undefined ? {} : { cluster }) };
  },
};

/** The operations of EKS by method and path: https://docs.aws.amazon.com/eks/latest/APIReference/API_Operations.html */
const eksOperations: readonly [start: RegExp, action: string][] = [
  [/^POST \/clusters$/, "CreateCluster"],
  [/^GET \/clusters\/[^/]+$/, "DescribeCluster"],
  [/^POST \/clusters\/[^/]+\/pod-identity-associations$/, "CreatePodIdentityAssociation"],
  [/^GET \/clusters\/[^/]+\/pod-identity-associations$/, "ListPodIdentityAssociations"],
  [/^GET \/clusters\/[^/]+\/pod-identity-associations\/[^/]+$/, "DescribePodIdentityAssociation"],
  [/^POST \/clusters\/[^/]+\/pod-identity-associations\/[^/]+$/, "UpdatePodIdentityAssociation"],
  [/^DELETE \/clusters\/[^/]+\/pod-identity-associations\/[^/]+$/, "DeletePodIdentityAssociation"],
  [/^GET \/tags\//, "ListTagsForResource"],
  [/^POST \/tags\//, "TagResource"],
  [/^DELETE \/tags\//, "UntagResource"],
];

/** The error code of a response, or the access key's id and the secrets that it issues. */
export function parseAwsResponse(
  status: number,
  body: Buffer,
): { error?: string; createdKey?: string; secrets: string[] } {
  const text = body.toString();
  const find = (pattern: RegExp): string | undefined => pattern.exec(text)?.slice(1).find(Boolean);
  if (status >= 400) {
    const error = find(/<Code>([^<]+)<|"__type": ?"(?:[^"#]+#)?([^"]+)"|"code": ?"([^"]+)"/);
    return { ...(error === undefined ? {} : { error }), secrets: [] };
  }
  const secrets = ["SecretAccessKey", "SessionToken"].flatMap(
    (name) => find(new RegExp(`<${name}>([^<]+)<|"${name}": ?"([^"]+)"`)) ?? [],
  );
  const createdKey = secrets.length === 0 ? undefined : find(/<AccessKeyId>([^<]+)<|"AccessKeyId": ?"([^"]+)"/);
  return { ...(createdKey === undefined ? {} : { createdKey }), secrets };
}
