// What the cache keeps of each object: only what decides whether the helper has to act, and nothing that others can make large.
import { allConfigs, createConfigIn } from "../config/namespaces.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import type { KubeObject, PartialObjectMetadata } from "../kube/types.ts";
import { compareOwnership, fieldsOf, type Fields, type Ownership } from "../resources/managed-fields.ts";
import { isOwnerReference, ownerUids } from "../resources/owners.ts";
import { exampleSecrets } from "../resources/secrets.ts";
import { hasOwnEntries, projectAccount, type ServiceAccount } from "../resources/service-account.ts";
import { asArray } from "../runtime/shape.ts";
import { createAccountMatcher } from "../shared/account-rules.ts";
import { createMatcher } from "../shared/namespace-rules.ts";
import { annotations, isOwn } from "../shared/ownership.ts";
import { createIntern } from "./intern.ts";
import { versionOf, type CachedObject } from "./store.ts";

/** A secret without its data, which the watch never delivers. */
export interface CachedSecret extends CachedObject, Ownership {
  /** Whether a helper of this stack created it, going by its labels. */
  readonly isOwned: boolean;
  /** The hash of the content that the helper wrote; "" when there is none. */
  readonly revision: string;
  /** The uids of the stack's owners among its references, as `ownerUids` writes them. */
  readonly owners: string;
}

/** A service account, reduced by `projectAccount`. */
export interface CachedAccount extends CachedObject {
  /** Whether the stack's rules include it, by name or labels. */
  readonly isIncluded: boolean;
  /** The uids of the stack's owners among its references; undefined for an account that the helper did not create. */
  readonly owners: string | undefined;
  /** Whether the helper created it or added entries to it. */
  readonly hasOwnEntries: boolean;
  /** The account with only the entries that name secrets of the helper. */
  readonly account: ServiceAccount;
}

/** A namespace, where namespaces are watched. */
export interface CachedNamespace extends CachedObject {
  /** Whether the stack's rules include it as a build namespace. */
  readonly isBuild: boolean;
  readonly isTerminating: boolean;
}

/** Of a secret that the helper leaves alone. */
const notOwned: Ownership = { modifiedBy: undefined, isShared: true, removal: "" };

/** The revision as the helper writes it. Anything longer would be kept once for every namespace. */
const revisionPattern = /^[0-9a-f]{16}$/;

const fieldsIn = (config: HelperConfig): ReadonlyMap<string, Fields> =>
  new Map(exampleSecrets(config).map((secret) => [secret.metadata.name, fieldsOf(secret)]));

/** Reduces objects to what the cache keeps of them. Equal values are shared by all namespaces. */
export class Projections {
  readonly #config: HelperConfig;
  readonly #isBuild: ReturnType<typeof createMatcher>;
  readonly #isIncluded: ReturnType<typeof createAccountMatcher>;
  readonly #configIn: ReturnType<typeof createConfigIn>;
  /** The fields that the helper applies, by the secret's name, in namespaces that a configuration is for. */
  readonly #fields: ReadonlyMap<HelperConfig, ReadonlyMap<string, Fields>>;
  readonly #internText = createIntern<string>();
  readonly #internAccount = createIntern<ServiceAccount>();

  constructor(config: HelperConfig) {
    this.#config = config;
    [this.#isBuild, this.#isIncluded] = [createMatcher(config), createAccountMatcher(config)];
    this.#configIn = createConfigIn(config);
    this.#fields = new Map(allConfigs(config).map((one) => [one, fieldsIn(one)]));
  }

  namespace(object: PartialObjectMetadata): CachedNamespace {
    const { name, uid, labels = {}, deletionTimestamp } = object.metadata;
    return {
      uid,
      version: versionOf(object),
      isBuild: this.#isBuild(name, labels),
      isTerminating: deletionTimestamp !== undefined,
    };
  }

  /** Keeps no text of a secret that is not the helper's, and of an own one only text that the helper may have written. */
  secret(name: string, object: PartialObjectMetadata): CachedSecret {
    const { uid, labels, annotations: found = {}, ownerReferences } = object.metadata;
    const isOwned = isOwn(this.#config, labels);
    const read = (key: string, form: RegExp): string => {
      const value = isOwned ? (found[key] ?? "") : "";
      return form.test(value) ? this.#internText(value) : "";
    };
    return {
      uid,
      version: versionOf(object),
      isOwned,
      revision: read(annotations.revision, revisionPattern),
      owners: isOwned ? this.#internText(ownerUids(this.#config, ownerReferences)) : "",
      ...(isOwned ? this.#ownership(name, object) : notOwned),
    };
  }

  #ownership(name: string, { metadata }: PartialObjectMetadata): Ownership {
    const fields = this.#fields.get(this.#configIn(metadata.namespace ?? ""));
    const found = compareOwnership(metadata, fields?.get(name) ?? {});
    const isOwner = (reference: unknown): boolean => isOwnerReference(this.#config, reference);
    return asArray(metadata.ownerReferences).every(isOwner) ? found : { ...found, isShared: true };
  }

  /** Undefined for a service account that is not included and has nothing of the helper's. */
  account(object: ServiceAccount & KubeObject): CachedAccount | undefined {
    const { name, uid, labels, ownerReferences } = object.metadata;
    const [isIncluded, hasEntries] = [this.#isIncluded(name, labels), hasOwnEntries(this.#config, object)];
    if (!isIncluded && !hasEntries) return undefined;
    return {
      uid,
      version: versionOf(object),
      isIncluded,
      owners: isOwn(this.#config, labels) ? this.#internText(ownerUids(this.#config, ownerReferences)) : undefined,
      hasOwnEntries: hasEntries,
      account: this.#internAccount(projectAccount(this.#config, object)),
    };
  }
}
