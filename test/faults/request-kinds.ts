// Kinds of requests that a stack's commands send, to make exactly these fail.
import { parseAwsRequest } from "../local/aws-requests.ts";
import type { RequestMatcher } from "../support/proxy.ts";

/** Requests of one kind, and the API that they go to. */
export interface RequestKind {
  readonly api: "aws" | "kubernetes";
  readonly matches: RequestMatcher;
}

/** Requests to AWS by their actions, such as `iam:CreateUser`. */
export const awsRequest = (...actions: readonly string[]): RequestKind => ({
  api: "aws",
  matches: ({ method, path, headers, body }) =>
    actions.includes(parseAwsRequest({ method, url: path, headers }, body)?.action ?? ""),
});

/** Requests for a Kubernetes object, by the end of its path. Dry runs, as a preview sends them, do not count. */
export const objectRequest = (method: "POST" | "PATCH" | "DELETE", pathEnd: string): RequestKind => ({
  api: "kubernetes",
  matches: (request) => {
    const { pathname, searchParams } = new URL(request.path, "http://kubernetes");
    if (request.method !== method || searchParams.has("dryRun")) return false;
    return (method === "POST" ? `${pathname}/${nameIn(request.body)}` : pathname).endsWith(pathEnd);
  },
});

/** The name of an object that is created: it is in the body, not in the path. */
const nameIn = (body: Buffer): string =>
  (JSON.parse(body.toString()) as { metadata?: { name?: string } }).metadata?.name ?? "";
