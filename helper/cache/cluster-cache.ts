// What the cluster holds, as far as the helper has to know: kept by watches, without any secret's content.
import { Collection, versionOf, type Seen } from "./store.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { createIntern } from "./intern.ts";
import { exampleSecrets } from "../resources/secrets.ts";
import { annotations, isOwn } from "../shared/ownership.ts";
import { fieldsOf, otherWriter, type Fields } from "../resources/managed-fields.ts";
import type { KubeObject, MetadataOnly, ObjectMeta } from "../kube/types.ts";
import type { Sink } from "../kube/reflector.ts";
import { holdsOwn, onlyNames, type ServiceAccount } from "../resources/service-account.ts";
import { keptNext, type Deployment } from "./successor.ts";
import { createMatcher, isOpenEnded, namedNamespaces } from "../shared/namespace-rules.ts";

export interface SeenSecret extends Seen {
  /** Whether this stack's helper made it. */
  readonly own: boolean;
  /** The revision that the helper wrote into it. */
  readonly revision: string;
  /** When the last of its tokens was asked for, as ISO 8601 in UTC. */
  readonly refreshedAt: string;
  /** Who changed what the helper had written, by the name of its field manager; undefined when all is as it was. */
  readonly changedBy: string | undefined;
}

export interface SeenAccount extends Seen {
  /** Whether there is anything in it that the helper put there. */
  readonly held: boolean;
  /** It, with nothing in its lists but the names of the helper's secrets. */
  readonly account: ServiceAccount;
}

interface SeenNamespace extends Seen {
  readonly isBuild: boolean;
  readonly isEnding: boolean;
}

/** What a namespace is to the helper: builds run there, it runs there itself, nothing, or it is not there (any more). */
export type Role = "build" | "own" | "none" | "gone";

/** A collection of the API to be followed. */
export interface Following {
  readonly path: string;
  readonly metadataOnly: boolean;
  readonly sink: Sink<KubeObject>;
  /** The only namespace it covers; undefined for all. */
  readonly namespace: string | undefined;
}

export class Observed {
  readonly namespaces: Collection<SeenNamespace, MetadataOnly>;
  /** By the secret's name. */
  readonly secrets: ReadonlyMap<string, Collection<SeenSecret, MetadataOnly>>;
  readonly accounts: Collection<SeenAccount>;
  /** All that has to be followed to know this. */
  readonly followings: readonly Following[];
  readonly #config: HelperConfig;
  readonly #named: ReadonlySet<string>;
  readonly #isOpenEnded: boolean;
  readonly #intern = createIntern<string>();
  readonly #internAccount = createIntern<ServiceAccount>();
  readonly #fields: ReadonlyMap<string, Fields>;
  readonly #changed: (namespace: string) => void;
  /** The template of the Deployment as it was seen first, which made this helper, in JSON. */
  #template: string | undefined;
  #isSucceeded = false;
  /** The only build namespaces that the next helper keeps; undefined where it may keep all. */
  #kept: ReadonlySet<string> | undefined;

  /**
   * Calls `changed` with every namespace where something may have to be done, and `broken` with every one that holds what cannot
   * be judged.
   */
  constructor(
    config: HelperConfig,
    changed: (namespace: string) => void,
    broken: (namespace: string, error: unknown) => void,
  ) {
    this.#config = config;
    this.#changed = changed;
    this.#named = new Set(namedNamespaces(config));
    this.#isOpenEnded = isOpenEnded(config);
    this.#fields = new Map(exampleSecrets(config).map((secret) => [secret.metadata.name, fieldsOf(secret)]));
    this.namespaces = new Collection({ keyOf: ({ name }) => name, judge: this.#judgeNamespace(), changed, broken });
    const secrets = (name: string): Collection<SeenSecret, MetadataOnly> =>
      new Collection({ keyOf: inNamespace, judge: (object) => this.judgeSecret(name, object), changed, broken });
    this.secrets = new Map(config.secretNames.map((name) => [name, secrets(name)]));
    this.accounts = new Collection({
      keyOf: inNamespace,
      judge: (account) => this.#judgeAccount(account as ServiceAccount & KubeObject),
      changed,
      broken,
    });
    const followed = this.#isOpenEnded ? [this.#followNamespaces(), ...this.#follow()] : this.#followNamed();
    this.followings = [...followed, this.#followDeployment()];
  }

  roleOf(namespace: string): Role {
    const other = namespace === this.#config.namespace ? "own" : "none";
    const isKept = this.#kept?.has(namespace) !== false;
    if (!this.#isOpenEnded) return isKept && this.#named.has(namespace) ? "build" : other;
    const seen = this.namespaces.get(namespace);
    if (seen === undefined || seen.isEnding) return "gone";
    return isKept && seen.isBuild ? "build" : other;
  }

  /** Whether the Deployment makes other helpers by now: one of them may be at work beside this one. */
  get isSucceeded(): boolean {
    return this.#isSucceeded;
  }

  /** The namespaces that get something. */
  targets(): string[] {
    const known = this.#isOpenEnded ? this.namespaces.keys() : new Set([...this.#named, this.#config.namespace]);
    return [...known].filter((namespace) => ["build", "own"].includes(this.roleOf(namespace)));
  }

  /** The namespaces where anything was seen. */
  seenIn(): Set<string> {
    return new Set([this.accounts, ...this.secrets.values()].flatMap((collection) => [...collection.keys()]));
  }

  /** Of a secret that another one made nothing is kept, and of an own one only what the helper may have written there. */
  judgeSecret(name: string, secret: MetadataOnly): SeenSecret {
    const { uid, labels, annotations: notes = {}, managedFields } = secret.metadata;
    const own = isOwn(this.#config, labels);
    const written = (key: string, form: RegExp): string => {
      const value = own ? (notes[key] ?? "") : "";
      return form.test(value) ? this.#intern(value) : "";
    };
    return {
      uid,
      version: versionOf(secret),
      own,
      revision: written(annotations.revision, revisionForm),
      refreshedAt: written(annotations.refreshedAt, momentForm),
      changedBy: own ? otherWriter(managedFields, this.#fields.get(name) ?? {}) : undefined,
    };
  }

  #judgeAccount(account: ServiceAccount & KubeObject): SeenAccount {
    return {
      uid: account.metadata.uid,
      version: versionOf(account),
      held: holdsOwn(this.#config, account),
      account: this.#internAccount(onlyNames(this.#config, account)),
    };
  }

  #judgeNamespace(): (namespace: MetadataOnly) => SeenNamespace {
    const isBuild = createMatcher(this.#config);
    return (namespace) => {
      const { name, uid, labels = {}, deletionTimestamp } = namespace.metadata;
      return {
        uid,
        version: versionOf(namespace),
        isBuild: isBuild(name, labels),
        isEnding: deletionTimestamp !== undefined,
      };
    };
  }

  #followNamespaces(): Following {
    const sink = this.namespaces.sink(() => true);
    return { path: "/api/v1/namespaces", metadataOnly: true, sink, namespace: undefined };
  }

  /** The secrets and service accounts of a namespace, or of all. */
  #follow(namespace?: string): Following[] {
    return [
      ...this.#config.secretNames.map((name) => this.#followSecret(name, namespace)),
      this.#followAccount(namespace),
    ];
  }

  #followNamed(): Following[] {
    const { namespace, ownSecretNames } = this.#config;
    const builds = [...this.#named].flatMap((one) => this.#follow(one));
    return this.#named.has(namespace)
      ? builds
      : [...builds, ...ownSecretNames.map((name) => this.#followSecret(name, namespace))];
  }

  #followSecret(name: string, namespace: string | undefined): Following {
    const collection = this.secrets.get(name);
    if (collection === undefined) throw new Error(`${name} is no secret of the helper's`);
    const sink = collection.sink(covers(namespace));
    return { path: pathOf("secrets", name, namespace), metadataOnly: true, sink, namespace };
  }

  /**
   * Follows the Deployment: what the next helper will not keep is taken back as soon as that is known, as the rights to do so
   * end with the rollout.
   */
  #followDeployment(): Following {
    const { namespace, deployment: name } = this.#config;
    const set = (object: KubeObject): void => this.#foresee(object as KubeObject & Deployment);
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments?${named(name)}`;
    return { path, metadataOnly: false, sink: { set, delete: () => undefined, listed: () => undefined }, namespace };
  }

  #foresee(deployment: Deployment): void {
    const template = JSON.stringify(deployment.spec.template);
    this.#template ??= template;
    const before = this.targets();
    this.#isSucceeded = template !== this.#template;
    this.#kept = this.#isSucceeded ? keptNext(this.#config, deployment) : undefined;
    const after = this.targets();
    const both = new Set([...before, ...after]);
    if (both.size === before.length && both.size === after.length) return;
    for (const namespace of both) this.#changed(namespace);
  }

  #followAccount(namespace: string | undefined): Following {
    const sink = this.accounts.sink(covers(namespace));
    const path = pathOf("serviceaccounts", this.#config.serviceAccount, namespace);
    return { path, metadataOnly: false, sink, namespace };
  }
}

/** As the helper writes them: a hash, and a moment or none. What is longer would be kept for every namespace. */
const revisionForm = /^[0-9a-f]{16}$/;
const momentForm = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|unknown)$/;

const inNamespace = ({ namespace = "" }: ObjectMeta): string => namespace;

const covers =
  (namespace: string | undefined) =>
  (key: string): boolean =>
    namespace === undefined || key === namespace;

/** One name, in one namespace or in all: rights that are given by name allow to list and watch no more than that. */
function pathOf(resource: string, name: string, namespace: string | undefined): string {
  const core = namespace === undefined ? "/api/v1" : `/api/v1/namespaces/${namespace}`;
  return `${core}/${resource}?${named(name)}`;
}

const named = (name: string): string => `fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`;
