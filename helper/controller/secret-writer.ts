// Writes secrets, each in the way that costs the API server least. One is created by server-side apply, whose create RBAC restricts by
// name, and refreshed at the resourceVersion that was seen.
import type { CachedSecret } from "../cache/cached-objects.ts";
import type { ClusterCache } from "../cache/cluster-cache.ts";
import { acceptMetadataOnly } from "../kube/client.ts";
import { isConflict, isNotFound, isOfAnotherType, undefinedIfNotFound } from "../kube/errors.ts";
import { nameSelector } from "../kube/object-ref.ts";
import type { Kube, KubeRequest, PartialObjectMetadata } from "../kube/types.ts";
import { protobufType } from "../resources/secret-protobuf.ts";
import type { DesiredSecret } from "../resources/types.ts";
import { fieldManager, updateManager } from "../shared/ownership.ts";
import { rejectUnwritable } from "./terminal-errors.ts";

/**
 * The query that turns off warnings about fields, which nobody would read: for them the API server parses the body a second time,
 * which is a sixth of all that an apply costs it. It refuses an unknown field all the same. https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
 */
export const skipFieldWarnings = "fieldValidation=Ignore";

/** What makes a secret that exists as it should be, in the way that costs the API server least (test/bench/RESULTS.md). */
function rewriteRequest(path: string, secret: DesiredSecret, seen: CachedSecret): KubeRequest {
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

/** One secret of one namespace, as it is to be written. */
interface Target {
  readonly namespace: string;
  readonly path: string;
  readonly secret: DesiredSecret;
  readonly signal: AbortSignal;
}

/** Keeps the cache in step with what it writes. */
export class SecretWriter {
  readonly #kube: Kube;
  readonly #cache: ClusterCache;

  constructor(kube: Kube, cache: ClusterCache) {
    [this.#kube, this.#cache] = [kube, cache];
  }

  /**
   * Writes a secret. `seen` is the one that the cache has in its place. Where somebody has written that since, it is decided about once
   * more by what is there, and left alone where they have changed what the helper wrote. Resolves to what it did. Rejects with KubeError,
   * the network's error or a TerminalError.
   */
  async write(
    namespace: string,
    secret: DesiredSecret,
    seen: CachedSecret | undefined,
    signal: AbortSignal,
  ): Promise<"created" | "configured"> {
    const target = { namespace, secret, signal, path: `/api/v1/namespaces/${namespace}/secrets/${secret.name}` };
    rejectUnwritable(namespace, secret, seen);
    if (seen === undefined) return this.#create(target);
    try {
      return await this.#rewrite(target, seen, seen);
    } catch (error) {
      // While the Deployment wants another type, the policies let this helper delete the secret, and not make it again.
      if (isOfAnotherType(error) && this.#cache.isTypeWanted(secret.name)) return await this.#replace(target, seen);
      if (!isConflict(error) && !isNotFound(error)) throw error;
      // A watch that is late, or tells nothing any more, must not keep a credential from being refreshed.
      const found = await this.#read(target);
      rejectUnwritable(namespace, secret, found);
      if (found === undefined) return await this.#create(target);
      if (found.modifiedBy !== undefined || found.version === seen.version) throw error;
      return await this.#rewrite(target, seen, found);
    }
  }

  async #create({ path, secret, signal }: Target): Promise<"created"> {
    const request = { ...applyRequest(path, secret.toApply(), false, signal), accept: acceptMetadataOnly() };
    this.#cache.secrets.get(secret.name)?.recordWrite(await this.#kube<PartialObjectMetadata>(request));
    return "created";
  }

  /** Deletes the very secret that was seen, and creates it with its new type: that of an object never changes. */
  async #replace(target: Target, { uid, version }: CachedSecret): Promise<"created"> {
    const { path, signal } = target;
    const preconditions = { uid, resourceVersion: String(version) };
    const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions };
    await undefinedIfNotFound(this.#kube({ method: "DELETE", path, body, signal }));
    return this.#create(target);
  }

  /** `found` is what is there, and `seen` what the cache has in its place. */
  async #rewrite(
    { namespace, path, secret, signal }: Target,
    seen: CachedSecret,
    found: CachedSecret,
  ): Promise<"configured"> {
    // The watch delivers the same as the answer: reading both takes a sixth of the helper's CPU.
    const answer = { accept: acceptMetadataOnly(), discardResponse: true };
    await this.#kube({ ...rewriteRequest(path, secret, found), ...answer, signal });
    const { revision, owners } = secret;
    const written = { ...found, revision, owners, modifiedBy: undefined, removal: "" };
    this.#cache.secrets.get(secret.name)?.assumeWritten(namespace, seen, written);
    return "configured";
  }

  /** A list: the roles allow no other way to read one in a build namespace. */
  async #read({ namespace, secret: { name }, signal }: Target): Promise<CachedSecret | undefined> {
    const path = `/api/v1/namespaces/${namespace}/secrets?${nameSelector(name)}`;
    const accept = acceptMetadataOnly("PartialObjectMetadataList");
    const request: KubeRequest = { method: "GET", path, accept, signal };
    // An empty list has null instead of no items.
    const { items } = await this.#kube<{ items: PartialObjectMetadata[] | null }>(request);
    const [found] = items ?? [];
    return found && this.#cache.projectSecret(name, found);
  }
}
