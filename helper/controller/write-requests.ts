// The requests that write a secret.
import type { CachedSecret } from "../cache/cached-objects.ts";
import type { KubeRequest } from "../kube/types.ts";
import { protobufType } from "../resources/secret-protobuf.ts";
import type { DesiredSecret } from "../resources/types.ts";
import { fieldManager, updateManager } from "../shared/ownership.ts";

/**
 * The query that turns off warnings about fields, which nobody would read: for them the API server parses the body a second time,
 * which is a sixth of all that an apply costs it. It refuses an unknown field all the same. https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
 */
export const skipFieldWarnings = "fieldValidation=Ignore";

/** What makes a secret that exists as it should be, in the way that costs the API server least (test/bench/RESULTS.md). */
export function rewriteRequest(path: string, secret: DesiredSecret, seen: CachedSecret): KubeRequest {
  const query = `fieldManager=${updateManager}&${skipFieldWarnings}`;
  if (!seen.isShared) {
    const body = secret.toReplace(seen.version);
    return { method: "PUT", path: `${path}?${query}`, contentType: protobufType, body };
  }
  // Only an apply takes over a field that somebody else has written with the right value.
  if (seen.modifiedBy !== undefined) return applyRequest(path, secret.toApply(seen), true);
  const contentType = "application/strategic-merge-patch+json";
  return { method: "PATCH", path: `${path}?${query}`, contentType, body: secret.toPatch(seen) };
}

/** A server-side apply, which creates the object if it is missing. With `force` it takes over what others have written. */
export const applyRequest = (path: string, body: string, force: boolean, signal?: AbortSignal): KubeRequest => ({
  method: "PATCH",
  path: `${path}?fieldManager=${fieldManager}&force=${String(force)}&${skipFieldWarnings}`,
  contentType: "application/apply-patch+yaml",
  body,
  ...(signal && { signal }),
});
