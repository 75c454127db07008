// What the cluster holds, as far as the helper has to know: kept by watches, without any secret's content.
import { Store, versionOf, type CachedObject } from "./store.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { createIntern } from "./intern.ts";
import { exampleSecrets } from "../resources/secrets.ts";
import { annotations, isOwn } from "../shared/ownership.ts";
import { fieldsOf, conflictingManager, type Fields } from "../resources/managed-fields.ts";
import type { KubeObject, PartialObjectMetadata, ObjectMeta } from "../kube/types.ts";
import type { Sink } from "../kube/reflector.ts";
import { hasOwnEntries, projectAccount, type ServiceAccount } from "../resources/service-account.ts";
import { keptNext, type Deployment } from "./successor.ts";
import { createMatcher, isDynamic, staticNamespaces } from "../shared/namespace-rules.ts";

export interface CachedSecret extends CachedObject {
  /** Whether this stack's helper made it. */
  readonly isOwned: boolean;
  /** The revision that the helper wrote into it. */
  readonly revision: string;
  /** When the last of its tokens was asked for, as ISO 8601 in UTC. */
  readonly refreshedAt: string;
  /** Who changed what the helper had written, by the name of its field manager; undefined when all is as it was. */
  readonly modifiedBy: string | undefined;
}

export interface CachedAccount extends CachedObject {
  /** Whether there is anything in it that the helper put there. */
  readonly hasOwnEntries: boolean;
  /** It, with nothing in its lists but the names of the helper's secrets. */
  readonly account: ServiceAccount;
}

interface CachedNamespace extends CachedObject {
  readonly isBuild: boolean;
  readonly isTerminating: boolean;
}

/** What a namespace is to the helper: builds run there, it runs there itself, nothing, or it is not there (any more). */
export type NamespaceKind = "build" | "own" | "none" | "gone";

/** A collection of the API to be followed. */
export interface WatchTarget {
  readonly path: string;
  readonly metadataOnly: boolean;
  readonly sink: Sink<KubeObject>;
  /** The only namespace it covers; undefined for all. */
  readonly namespace: string | undefined;
}

export class ClusterCache {
  readonly namespaces: Store<CachedNamespace, PartialObjectMetadata>;
  /** By the secret's name. */
  readonly secrets: ReadonlyMap<string, Store<CachedSecret, PartialObjectMetadata>>;
  readonly accounts: Store<CachedAccount>;
  /** All that has to be followed to know this. */
  readonly watchTargets: readonly WatchTarget[];
  readonly #config: HelperConfig;
  readonly #staticNames: ReadonlySet<string>;
  readonly #isDynamic: boolean;
  readonly #intern = createIntern<string>();
  readonly #internAccount = createIntern<ServiceAccount>();
  readonly #fields: ReadonlyMap<string, Fields>;
  readonly #enqueue: (namespace: string) => void;
  /** The template of the Deployment as it was seen first, which made this helper, in JSON. */
  #template: string | undefined;
  #hasSuccessor = false;
  /** The only build namespaces that the next helper keeps; undefined where it may keep all. */
  #keptBySuccessor: ReadonlySet<string> | undefined;

  /**
   * Calls `onChange` with every namespace where something may have to be done, and `onInvalid` with every one that holds what cannot
   * be judged.
   */
  constructor(
    config: HelperConfig,
    onChange: (namespace: string) => void,
    onInvalid: (namespace: string, error: unknown) => void,
  ) {
    this.#config = config;
    this.#enqueue = onChange;
    this.#staticNames = new Set(staticNamespaces(config));
    this.#isDynamic = isDynamic(config);
    this.#fields = new Map(exampleSecrets(config).map((secret) => [secret.metadata.name, fieldsOf(secret)]));
    this.namespaces = new Store({
      keyOf: ({ name }) => name,
      project: this.#namespaceProjection(),
      onChange,
      onInvalid,
    });
    const secrets = (name: string): Store<CachedSecret, PartialObjectMetadata> =>
      new Store({
        keyOf: inNamespace,
        project: (object) => this.projectSecret(name, object),
        onChange,
        onInvalid,
      });
    this.secrets = new Map(config.secretNames.map((name) => [name, secrets(name)]));
    this.accounts = new Store({
      keyOf: inNamespace,
      project: (account) => this.#projectAccount(account as ServiceAccount & KubeObject),
      onChange,
      onInvalid,
    });
    const followed = this.#isDynamic
      ? [this.#watchNamespaces(), ...this.#watchObjects()]
      : this.#watchStaticNamespaces();
    this.watchTargets = [...followed, this.#watchDeployment()];
  }

  kindOf(namespace: string): NamespaceKind {
    const other = namespace === this.#config.namespace ? "own" : "none";
    const isKept = this.#keptBySuccessor?.has(namespace) !== false;
    if (!this.#isDynamic) return isKept && this.#staticNames.has(namespace) ? "build" : other;
    const seen = this.namespaces.get(namespace);
    if (seen === undefined || seen.isTerminating) return "gone";
    return isKept && seen.isBuild ? "build" : other;
  }

  /** Whether the Deployment makes other helpers by now: one of them may be at work beside this one. */
  get hasSuccessor(): boolean {
    return this.#hasSuccessor;
  }

  /** The namespaces that get something. */
  targets(): string[] {
    const known = this.#isDynamic ? this.namespaces.keys() : new Set([...this.#staticNames, this.#config.namespace]);
    return [...known].filter((namespace) => ["build", "own"].includes(this.kindOf(namespace)));
  }

  /** The namespaces where anything was seen. */
  namespacesWithObjects(): Set<string> {
    return new Set([this.accounts, ...this.secrets.values()].flatMap((collection) => [...collection.keys()]));
  }

  /** Of a secret that another one made nothing is kept, and of an own one only what the helper may have written there. */
  projectSecret(name: string, secret: PartialObjectMetadata): CachedSecret {
    const { uid, labels, annotations: notes = {}, managedFields } = secret.metadata;
    const isOwned = isOwn(this.#config, labels);
    const written = (key: string, form: RegExp): string => {
      const value = isOwned ? (notes[key] ?? "") : "";
      return form.test(value) ? this.#intern(value) : "";
    };
    return {
      uid,
      version: versionOf(secret),
      isOwned,
      revision: written(annotations.revision, revisionPattern),
      refreshedAt: written(annotations.refreshedAt, timestampPattern),
      modifiedBy: isOwned ? conflictingManager(managedFields, this.#fields.get(name) ?? {}) : undefined,
    };
  }

  #projectAccount(account: ServiceAccount & KubeObject): CachedAccount {
    return {
      uid: account.metadata.uid,
      version: versionOf(account),
      hasOwnEntries: hasOwnEntries(this.#config, account),
      account: this.#internAccount(projectAccount(this.#config, account)),
    };
  }

  #namespaceProjection(): (namespace: PartialObjectMetadata) => CachedNamespace {
    const isBuild = createMatcher(this.#config);
    return (namespace) => {
      const { name, uid, labels = {}, deletionTimestamp } = namespace.metadata;
      return {
        uid,
        version: versionOf(namespace),
        isBuild: isBuild(name, labels),
        isTerminating: deletionTimestamp !== undefined,
      };
    };
  }

  #watchNamespaces(): WatchTarget {
    const sink = this.namespaces.sink(() => true);
    return { path: "/api/v1/namespaces", metadataOnly: true, sink, namespace: undefined };
  }

  /** The secrets and service accounts of a namespace, or of all. */
  #watchObjects(namespace?: string): WatchTarget[] {
    return [
      ...this.#config.secretNames.map((name) => this.#watchSecret(name, namespace)),
      this.#watchAccount(namespace),
    ];
  }

  #watchStaticNamespaces(): WatchTarget[] {
    const { namespace, ownSecretNames } = this.#config;
    const builds = [...this.#staticNames].flatMap((one) => this.#watchObjects(one));
    return this.#staticNames.has(namespace)
      ? builds
      : [...builds, ...ownSecretNames.map((name) => this.#watchSecret(name, namespace))];
  }

  #watchSecret(name: string, namespace: string | undefined): WatchTarget {
    const collection = this.secrets.get(name);
    if (collection === undefined) throw new Error(`${name} is no secret of the helper's`);
    const sink = collection.sink(covers(namespace));
    return { path: pathOf("secrets", name, namespace), metadataOnly: true, sink, namespace };
  }

  /**
   * Follows the Deployment: what the next helper will not keep is taken back as soon as that is known, as the rights to do so
   * end with the rollout.
   */
  #watchDeployment(): WatchTarget {
    const { namespace, deployment: name } = this.#config;
    const set = (object: KubeObject): void => this.#observeDeployment(object as KubeObject & Deployment);
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments?${nameSelector(name)}`;
    return { path, metadataOnly: false, sink: { set, delete: () => undefined, listed: () => undefined }, namespace };
  }

  #observeDeployment(deployment: Deployment): void {
    const template = JSON.stringify(deployment.spec.template);
    this.#template ??= template;
    const before = this.targets();
    this.#hasSuccessor = template !== this.#template;
    this.#keptBySuccessor = this.#hasSuccessor ? keptNext(this.#config, deployment) : undefined;
    const after = this.targets();
    const both = new Set([...before, ...after]);
    if (both.size === before.length && both.size === after.length) return;
    for (const namespace of both) this.#enqueue(namespace);
  }

  #watchAccount(namespace: string | undefined): WatchTarget {
    const sink = this.accounts.sink(covers(namespace));
    const path = pathOf("serviceaccounts", this.#config.serviceAccount, namespace);
    return { path, metadataOnly: false, sink, namespace };
  }
}

/** As the helper writes them: a hash, and a moment or none. What is longer would be kept for every namespace. */
const revisionPattern = /^[0-9a-f]{16}$/;
const timestampPattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|unknown)$/;

const inNamespace = ({ namespace = "" }: ObjectMeta): string => namespace;

const covers =
  (namespace: string | undefined) =>
  (key: string): boolean =>
    namespace === undefined || key === namespace;

/** One name, in one namespace or in all: rights that are given by name allow to list and watch no more than that. */
function pathOf(resource: string, name: string, namespace: string | undefined): string {
  const core = namespace === undefined ? "/api/v1" : `/api/v1/namespaces/${namespace}`;
  return `${core}/${resource}?${nameSelector(name)}`;
}

const nameSelector = (name: string): string => `fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`;
