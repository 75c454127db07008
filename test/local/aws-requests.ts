// What a request to AWS asks for, in IAM's words, and what of its answer has to be remembered. Pure.
import type { IncomingHttpHeaders } from "node:http";

/** One request, without what is secret of it. */
export interface AwsRequest {
  /** ISO 8601. */
  readonly time: string;
  /** As policies name it: `ecr:GetAuthorizationToken`. */
  readonly action: string;
  /** Further actions that AWS allows or refuses with it. */
  readonly impliedActions?: readonly string[];
  /** The id of the access key that signed it, and the region it was signed for; none where nothing did. */
  readonly key?: string;
  readonly region?: string;
  /** Of a request to the registry by a token that this key was given: the repository's ARN. */
  readonly repository?: string;
  /** Names of what a request to IAM or STS is about. */
  readonly user?: string;
  readonly role?: string;
  readonly policy?: string;
  /** Of a request to EKS: the name of the cluster. */
  readonly cluster?: string;
  readonly status: number;
  /** Of an answer that refuses. */
  readonly error?: string;
  /** The id of an access key that the answer gave. */
  readonly createdKey?: string;
}

export type AwsOperation = Omit<AwsRequest, "time" | "status" | "error" | "createdKey">;

/** Of a request, what is needed to tell what it asks for. */
export interface ReceivedRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
}

const lastSegment = (arn: string | null): string | undefined => arn?.split("/").at(-1);

/** What a request to the API asks for; undefined for one that is none of AWS'. */
export function parseAwsRequest(
  { method = "", url = "/", headers }: ReceivedRequest,
  body: Buffer,
): AwsOperation | undefined {
  const { pathname, searchParams } = new URL(url, "http://aws");
  const signer = parseCredentialScope(String(headers.authorization ?? searchParams.get("X-Amz-Credential")));
  const form = new URLSearchParams([...searchParams, ...new URLSearchParams(body.toString("latin1"))]);
  // STS is asked without a signature by who has a token of his cluster alone.
  const service = signer?.service ?? "sts";
  const asked = form.has("Action")
    ? parseForm(form, service)
    : parsers[service]?.(headers, `${method} ${pathname}`, body);
  return asked && { ...asked, ...(signer === undefined ? {} : { key: signer.id, region: signer.region }) };
}

function parseCredentialScope(text: string): { id: string; region: string; service: string } | undefined {
  const [, id, region, service] = /(\w+)\/\d+\/([\w-]+)\/(\w+)\//.exec(text) ?? [];
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
  return { action, impliedActions: kind === undefined ? [] : impliedByForm(form, kind), ...known };
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
  eks: (_headers, line, body) => {
    const name = eksOperations.find(([start]) => start.test(line))?.[1] ?? line;
    const impliedActions = [
      // The role is given away to EKS' service.
      ...(name.endsWith("PodIdentityAssociation") && body.includes('"roleArn"') ? ["iam:PassRole"] : []),
      ...(name.startsWith("Create") && body.includes('"tags"') ? ["eks:TagResource"] : []),
    ];
    const cluster = /^\w+ \/clusters\/([^/?]+)/.exec(line)?.[1];
    return { action: `eks:${name}`, impliedActions, ...(cluster === undefined ? {} : { cluster }) };
  },
};

/** EKS' API by method and path: https://docs.aws.amazon.com/eks/latest/APIReference/API_Operations.html */
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

/** Of an answer of the API: the error's code, the id of an access key, and what is secret. */
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
