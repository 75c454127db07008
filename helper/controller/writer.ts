// The helper's writes: one object brought to its desired state, or taken back. Secrets by server-side apply, service
// accounts by a patch of their own lists at the version that was read.
import type { HelperConfig } from "../config/helper-config.ts";
import { maxSecretBytes } from "../resources/secrets.ts";
import type { DesiredSecret } from "../resources/types.ts";
import { fieldManager, isOwn } from "../shared/ownership.ts";
import { metadataOnly } from "../kube/client.ts";
import { isConflict, isForbidden, undefinedIfNotFound } from "../kube/errors.ts";
import type { KubeRequest, Kube, KubeObject, PartialObjectMetadata } from "../kube/types.ts";
import type { ClusterCache, CachedSecret } from "../cache/cluster-cache.ts";
import {
  releaseOwnershipPatch,
  hasOwnEntries,
  listsOnlyOwnEntries,
  newServiceAccount,
  noEntries,
  serviceAccountPatch,
  type Entries,
  type ServiceAccount,
} from "../resources/service-account.ts";

export type Outcome = "created" | "configured" | "unchanged" | "removed";

/** What no other attempt would mend: it is not tried again until something changes. */
export abstract class TerminalError extends Error {
  /** In a word: the reason of the Event. */
  abstract readonly reason: string;
}

/** A secret of the wanted name that this helper did not make. It is left alone. */
export class ForeignObjectError extends TerminalError {
  readonly reason = "ForeignObject";
}

/** A secret that Kubernetes would not take. The one that is there is left as it is. */
export class TooLargeError extends TerminalError {
  readonly reason = "TooLarge";
}

/** How often a service account is read again because somebody else wrote it in between. */
const conflictRetries = 10;

type FullAccount = ServiceAccount & KubeObject;

/** Every method resolves to what was done, after `observed` was told, or rejects with what stood in the way. */
export class Writer {
  readonly #kube: Kube;
  readonly #config: HelperConfig;
  readonly #cache: ClusterCache;

  constructor(kube: Kube, config: HelperConfig, observed: ClusterCache) {
    [this.#kube, this.#config, this.#cache] = [kube, config, observed];
  }

  /** Applies a secret over what was seen in its place. */
  async applySecret(
    namespace: string,
    secret: DesiredSecret,
    seen: CachedSecret | undefined,
    signal: AbortSignal,
  ): Promise<Outcome> {
    if (seen?.isOwned === false) {
      throw new ForeignObjectError(
        `secret ${namespace}/${secret.name} exists and was not made by this helper, so it is left as it is. ` +
          "Delete it, or let the helper use another name (ecr-helper:basicAuthSecret, ecr-helper:pullSecret)",
      );
    }
    if (secret.size > maxSecretBytes) {
      throw new TooLargeError(
        `secret ${namespace}/${secret.name} would hold ${String(secret.size)} bytes with the logins of all registries, and ` +
          `Kubernetes takes ${String(maxSecretBytes)}, so it is left as it is. Let this stack keep fewer (ecr-helper:registries), ` +
          "and another stack the rest, in secrets of other names",
      );
    }
    const path = `/api/v1/namespaces/${namespace}/secrets/${secret.name}`;
    // Only what somebody else changed is taken back by force, and only in the object where that was seen. Else a secret that
    // somebody made or changed since then is a conflict, and not overwritten.
    const call =
      seen?.modifiedBy === undefined
        ? applyRequest(path, secret.body, false, signal)
        : applyRequest(path, secret.bodyFor(seen.uid), true, signal);
    const collection = this.#cache.secrets.get(secret.name);
    if (seen === undefined) {
      collection?.recordWrite(await this.#kube<PartialObjectMetadata>({ ...call, accept: metadataOnly() }));
      return "created";
    }
    // The watch tells the same as the answer: to read both takes a tenth of a refresh.
    await this.#kube({ ...call, accept: metadataOnly(), discardResponse: true });
    const { revision, refreshedAt } = secret;
    collection?.assumeWritten(namespace, seen, { ...seen, revision, refreshedAt, modifiedBy: undefined });
    return "configured";
  }

  /** Removes a secret, unless another has taken its place since it was seen. */
  async removeSecret(namespace: string, name: string, { uid }: CachedSecret, signal: AbortSignal): Promise<Outcome> {
    await this.#remove(`/api/v1/namespaces/${namespace}/secrets/${name}`, { uid }, signal);
    return "removed";
  }

  /** Makes the service account list these entries; makes it where there is none. */
  async applyAccount(namespace: string, entries: Entries, signal: AbortSignal): Promise<Outcome> {
    return this.#retryOnConflict(async () => {
      const found = await this.#readAccount(namespace, signal);
      if (found === undefined) return this.#createAccount(namespace, entries, signal);
      return this.#extendAccount(namespace, found, entries, signal);
    });
  }

  /** Takes out of a service account what the helper put there, and the account itself where it is the helper's and lists nothing else. */
  async releaseAccount(namespace: string, signal: AbortSignal): Promise<Outcome> {
    return this.#retryOnConflict(async () => {
      const found = await this.#readAccount(namespace, signal);
      if (found === undefined || !hasOwnEntries(this.#config, found)) return "unchanged";
      const isMade = isOwn(this.#config, found.metadata.labels);
      if (isMade && listsOnlyOwnEntries(this.#config, found)) {
        const { uid, resourceVersion } = found.metadata;
        await this.#remove(this.#accountPath(namespace), { uid, resourceVersion }, signal);
        return "removed";
      }
      const patch = { ...serviceAccountPatch(this.#config, found, noEntries) };
      await this.#patchAccount(
        namespace,
        found,
        isMade ? mergePatches(patch, releaseOwnershipPatch(this.#config, found)) : patch,
        signal,
      );
      return "removed";
    });
  }

  #accountPath(namespace: string): string {
    return `/api/v1/namespaces/${namespace}/serviceaccounts/${this.#config.serviceAccount}`;
  }

  async #readAccount(namespace: string, signal: AbortSignal): Promise<FullAccount | undefined> {
    return undefinedIfNotFound(this.#kube<FullAccount>({ method: "GET", path: this.#accountPath(namespace), signal }));
  }

  async #createAccount(namespace: string, entries: Entries, signal: AbortSignal): Promise<Outcome> {
    const body = JSON.stringify(newServiceAccount(this.#config, entries));
    const apply = applyRequest(this.#accountPath(namespace), body, false, signal);
    const made = await this.#kube<FullAccount>(apply).catch(async (error: unknown) => {
      // Somebody made one since the look at it, which the stack's policies do not let the helper take over.
      const found = isForbidden(error) ? await this.#readAccount(namespace, signal) : undefined;
      if (found === undefined) throw error;
      return found;
    });
    if (!isOwn(this.#config, made.metadata.labels)) return this.#extendAccount(namespace, made, entries, signal);
    const { managedFields = [] } = (made as PartialObjectMetadata).metadata;
    // Somebody made one since the look at it, and the apply took it over: it is given back, and extended as any other.
    if (managedFields.some(({ manager }) => manager !== fieldManager)) {
      return this.#patchAccount(namespace, made, releaseOwnershipPatch(this.#config, made), signal);
    }
    this.#cache.accounts.recordWrite(made);
    return "created";
  }

  async #extendAccount(namespace: string, found: FullAccount, entries: Entries, signal: AbortSignal): Promise<Outcome> {
    return this.#patchAccount(namespace, found, serviceAccountPatch(this.#config, found, entries), signal);
  }

  async #patchAccount(
    namespace: string,
    found: FullAccount,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const [path, contentType] = [this.#accountPath(namespace), "application/merge-patch+json"];
    const query = `fieldManager=${fieldManager}`;
    const patched =
      body === undefined
        ? found
        : await this.#kube<FullAccount>({ method: "PATCH", path: `${path}?${query}`, contentType, body, signal });
    this.#cache.accounts.recordWrite(patched);
    return body === undefined ? "unchanged" : "configured";
  }

  /** Repeats what a write of somebody else's made futile, so that neither loses anything. */
  async #retryOnConflict(work: () => Promise<Outcome>): Promise<Outcome> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (!isConflict(error) || attempt === conflictRetries) throw error;
      }
    }
  }

  async #remove(path: string, preconditions: object, signal: AbortSignal): Promise<void> {
    const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions };
    await undefinedIfNotFound(this.#kube({ method: "DELETE", path, body, signal }));
  }
}

/**
 * For warnings that nobody reads the API server would parse the body a second time: a sixth of all that an apply costs it. A
 * field that it does not know is refused all the same. https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
 */
export const skipFieldWarnings = "fieldValidation=Ignore";

const applyRequest = (path: string, body: string | Buffer, force: boolean, signal: AbortSignal): KubeRequest => ({
  method: "PATCH",
  path: `${path}?fieldManager=${fieldManager}&force=${String(force)}&${skipFieldWarnings}`,
  contentType: "application/apply-patch+yaml",
  body,
  signal,
});

const mergePatches = (one: { metadata?: object }, other: { metadata?: object }): object => ({
  ...one,
  metadata: { ...one.metadata, ...other.metadata },
});
