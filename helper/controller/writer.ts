// The helper's writes, one object at a time. Service accounts are patched at the resourceVersion that was read, because others write
// the same lists.
import type { HelperConfig } from "../config/helper-config.ts";
import type { DesiredSecret } from "../resources/types.ts";
import { namedAccounts } from "../shared/account-rules.ts";
import { fieldManager, isOwn } from "../shared/ownership.ts";
import { isConflict, isForbidden, undefinedIfNotFound } from "../kube/errors.ts";
import type { Kube, KubeObject, PartialObjectMetadata } from "../kube/types.ts";
import type { CachedSecret } from "../cache/cached-objects.ts";
import type { ClusterCache } from "../cache/cluster-cache.ts";
import {
  releaseOwnershipPatch,
  hasOwner,
  mergePatches,
  releasePatch,
  hasOwnEntries,
  isWhollyOwn,
  newServiceAccount,
  ownersPatch,
  serviceAccountPatch,
  type Entries,
  type ServiceAccount,
} from "../resources/service-account.ts";
import type { ReleaseOptions } from "./actions.ts";
import { applyRequest, SecretWriter } from "./secret-writer.ts";

/** What a write did, in kubectl's words where it has one. */
export type Outcome = "created" | "configured" | "unchanged" | "removed";

/** How often a service account is read and patched again when others keep writing it in between. */
const maxAttempts = 10;

/** Every namespace has this service account: https://kubernetes.io/docs/concepts/security/service-accounts/#default-service-accounts */
const madeByKubernetes = "default";

type FullAccount = ServiceAccount & KubeObject;

/** Each method updates the cache and resolves to what it did, or rejects with KubeError, the network's error or a TerminalError. */
export class Writer {
  readonly #kube: Kube;
  readonly #config: HelperConfig;
  readonly #cache: ClusterCache;
  readonly #secrets: SecretWriter;
  readonly #named: ReadonlySet<string>;

  constructor(kube: Kube, config: HelperConfig, cache: ClusterCache) {
    [this.#kube, this.#config, this.#cache] = [kube, config, cache];
    this.#secrets = new SecretWriter(kube, cache);
    this.#named = new Set(namedAccounts(config));
  }

  /** Writes a secret. `seen` is the one that the cache had in its place. */
  async writeSecret(
    namespace: string,
    secret: DesiredSecret,
    seen: CachedSecret | undefined,
    signal: AbortSignal,
  ): Promise<Outcome> {
    return this.#secrets.write(namespace, secret, seen, signal);
  }

  /** Deletes the very secret that was seen. One that replaced it since has another uid: then the API server answers 409. */
  async removeSecret(namespace: string, name: string, { uid }: CachedSecret, signal: AbortSignal): Promise<Outcome> {
    await this.#remove(`/api/v1/namespaces/${namespace}/secrets/${name}`, { uid }, signal);
    return "removed";
  }

  /**
   * Adds entries to a service account and removes those that the helper added before. Creates the account if it is missing and named,
   * but for the one that Kubernetes creates itself.
   */
  async applyAccount(namespace: string, name: string, entries: Entries, signal: AbortSignal): Promise<Outcome> {
    return this.#retryOnConflict(async (attempt) => {
      // Where the cache has none it is created without a read. One that exists all the same is a conflict, or is given back.
      const isMissing = attempt === 1 && this.#cache.accounts.get(namespace, name) === undefined;
      const found = isMissing ? undefined : await this.#readAccount(namespace, name, signal);
      if (found !== undefined) return this.#extendAccount(namespace, found, entries, signal);
      // Made by the helper it would go with the stack, and with it the tokens of running pods.
      const isMade = this.#named.has(name) && name !== madeByKubernetes;
      return isMade ? this.#createAccount(namespace, name, entries, signal) : "unchanged";
    });
  }

  /**
   * Removes the helper's entries from the service account, unless its labels say that it is kept. Where the helper created it and it
   * lists nothing else, deletes the account if it is named, and leaves it to its owners if these are about to go; otherwise gives
   * up its ownership.
   */
  async releaseAccount(
    namespace: string,
    name: string,
    signal: AbortSignal,
    { isKept = () => false, goesWithStack = false }: ReleaseOptions = {},
  ): Promise<Outcome> {
    return this.#retryOnConflict(async () => {
      const found = await this.#readAccount(namespace, name, signal);
      if (found === undefined || !hasOwnEntries(this.#config, found) || isKept(found.metadata.labels))
        return "unchanged";
      const { uid, resourceVersion } = found.metadata;
      const [isWhole, isNamed] = [isWhollyOwn(this.#config, found), this.#named.has(name)];
      // The right to delete is for names only. What the stack owns goes with it.
      if (isWhole && !isNamed && goesWithStack && hasOwner(this.#config, found)) return "unchanged";
      if (isWhole && isNamed) {
        await this.#remove(accountPath(namespace, name), { uid, resourceVersion }, signal);
        return "removed";
      }
      await this.#patchAccount(namespace, found, releasePatch(this.#config, found), signal);
      return "removed";
    });
  }

  async #readAccount(namespace: string, name: string, signal: AbortSignal): Promise<FullAccount | undefined> {
    return undefinedIfNotFound(this.#kube<FullAccount>({ method: "GET", path: accountPath(namespace, name), signal }));
  }

  async #createAccount(namespace: string, name: string, entries: Entries, signal: AbortSignal): Promise<Outcome> {
    const body = JSON.stringify(newServiceAccount(this.#config, name, entries, this.#cache.owners.references));
    const apply = applyRequest(accountPath(namespace, name), body, false, signal);
    const made = await this.#kube<FullAccount>(apply).catch(async (error: unknown) => {
      // Someone has created the account, and the stack's admission policies do not let the helper take it over.
      const found = isForbidden(error) ? await this.#readAccount(namespace, name, signal) : undefined;
      if (found === undefined) throw error;
      return found;
    });
    if (!isOwn(this.#config, made.metadata.labels)) return this.#extendAccount(namespace, made, entries, signal);
    const { managedFields = [] } = (made as PartialObjectMetadata).metadata;
    // Without admission policies: someone has created the account, and the apply took it over. Its ownership is
    // given back here; the next reconciliation extends it like any other account.
    if (managedFields.some(({ manager }) => manager !== fieldManager)) {
      return this.#patchAccount(namespace, made, releaseOwnershipPatch(this.#config, made), signal);
    }
    this.#record(made);
    return "created";
  }

  async #extendAccount(namespace: string, found: FullAccount, entries: Entries, signal: AbortSignal): Promise<Outcome> {
    const owned = this.#ownershipPatch(found);
    const patch = serviceAccountPatch(this.#config, found, entries) ?? owned;
    return this.#patchAccount(namespace, found, patch && mergePatches(patch, owned ?? {}), signal);
  }

  /** One that is not named any more is given back, as the helper makes those that are named only. */
  #ownershipPatch(found: FullAccount): object | undefined {
    const { name, labels } = found.metadata;
    if (this.#named.has(name)) return ownersPatch(this.#config, found, this.#cache.owners.references);
    return isOwn(this.#config, labels) ? releaseOwnershipPatch(this.#config, found) : undefined;
  }

  async #patchAccount(
    namespace: string,
    found: FullAccount,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const [path, contentType] = [accountPath(namespace, found.metadata.name), "application/merge-patch+json"];
    const query = `fieldManager=${fieldManager}`;
    const patched =
      body === undefined
        ? found
        : await this.#kube<FullAccount>({ method: "PATCH", path: `${path}?${query}`, contentType, body, signal });
    this.#record(patched);
    return body === undefined ? "unchanged" : "configured";
  }

  #record(account: FullAccount): void {
    this.#cache.accounts.recordWrite(account);
  }

  /** Repeats a read and write when another write came in between, so that neither write is lost. */
  async #retryOnConflict(work: (attempt: number) => Promise<Outcome>): Promise<Outcome> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(attempt);
      } catch (error) {
        if (!isConflict(error) || attempt === maxAttempts) throw error;
      }
    }
  }

  async #remove(path: string, preconditions: object, signal: AbortSignal): Promise<void> {
    const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions };
    await undefinedIfNotFound(this.#kube({ method: "DELETE", path, body, signal }));
  }
}

const accountPath = (namespace: string, name: string): string =>
  `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`;
