// The state of the cluster as far as the helper needs it: filled by watches, and without the data of any secret.
import type { HelperConfig } from "../config/helper-config.ts";
import type { ObjectRef } from "../kube/object-ref.ts";
import type { KubeObject, ObjectMeta, PartialObjectMetadata } from "../kube/types.ts";
import { isDynamic, staticNamespaces } from "../shared/namespace-rules.ts";
import { Accounts } from "./accounts.ts";
import { Projections, type CachedNamespace, type CachedSecret } from "./cached-objects.ts";
import { Owners } from "./owners.ts";
import { Store } from "./store.ts";
import { keptBy, parsedSuccessor, sameTypes, type Deployment } from "./successor.ts";
import { watchTargetsOf, type Stores, type WatchTarget } from "./watch-targets.ts";

/** What a namespace is to the helper: a build namespace, its own, one where it keeps nothing, or one that does not exist. */
export type NamespaceKind = "build" | "own" | "none" | "gone";

/** Which namespaces the helper manages, and what it last saw of the objects in them. */
export class ClusterCache implements Stores {
  readonly namespaces: Store<CachedNamespace, PartialObjectMetadata>;
  readonly secrets: ReadonlyMap<string, Store<CachedSecret, PartialObjectMetadata>>;
  readonly accounts: Accounts;
  readonly owners: Owners;
  /** The collections that fill this cache when they are watched. */
  readonly watchTargets: readonly WatchTarget[];
  readonly #config: HelperConfig;
  readonly #projections: Projections;
  readonly #isDynamic: boolean;
  readonly #staticNames: ReadonlySet<string>;
  readonly #onChange: (namespace: string) => void;
  /** The JSON of the Deployment's template as first seen, which is the one that created this helper. */
  #template: string | undefined;
  /** The same as last seen. */
  #lastTemplate: string | undefined;
  /** The only build namespaces that the successor keeps; undefined while it may keep all. */
  #keptBySuccessor: ReadonlySet<string> | undefined;
  /** Undefined while the Deployment is not known. */
  #sameTypes: ReadonlySet<string> | undefined;

  /**
   * Calls `onChange` with each namespace that may need work, `onInvalid` with each that holds an object which the helper cannot
   * interpret, and `onOwners` when the stack's owners changed.
   */
  constructor(
    config: HelperConfig,
    onChange: (namespace: string) => void,
    onInvalid: (namespace: string, error: unknown) => void,
    onOwners: () => void,
  ) {
    [this.#config, this.#onChange] = [config, onChange];
    const projections = new Projections(config);
    this.#projections = projections;
    this.#isDynamic = isDynamic(config);
    this.#staticNames = new Set(staticNamespaces(config));
    const callbacks = { onChange, onInvalid };
    this.namespaces = new Store({
      keyOf: ({ name }) => name,
      project: (object) => projections.namespace(object),
      ...callbacks,
    });
    const secretsOf = (name: string): Store<CachedSecret, PartialObjectMetadata> =>
      new Store({ keyOf: namespaceOf, project: (object) => projections.secret(name, object), ...callbacks });
    this.secrets = new Map(config.allSecretNames.map((name) => [name, secretsOf(name)]));
    this.accounts = new Accounts(config, (object) => projections.account(object), callbacks);
    this.owners = new Owners(config, onOwners);
    this.watchTargets = watchTargetsOf(config, this, this.owners, (object) =>
      this.#observeDeployment(object as KubeObject & Deployment),
    );
  }

  /** What a namespace is to the helper at this moment, its successor's rules included. */
  kindOf(namespace: string): NamespaceKind {
    const other = namespace === this.#config.namespace ? "own" : "none";
    const isKept = this.#keptBySuccessor?.has(namespace) !== false;
    if (!this.#isDynamic) return isKept && this.#staticNames.has(namespace) ? "build" : other;
    const seen = this.namespaces.get(namespace);
    if (seen === undefined || seen.isTerminating) return "gone";
    return isKept && seen.isBuild ? "build" : other;
  }

  /** The namespaces in which the helper keeps objects. */
  targets(): string[] {
    const known = this.#isDynamic ? this.namespaces.keys() : new Set([...this.#staticNames, this.#config.namespace]);
    return [...known].filter((namespace) => ["build", "own"].includes(this.kindOf(namespace)));
  }

  /** The namespaces in which any secret or service account exists that the cache keeps, whoever made it. */
  namespacesWithObjects(): Set<string> {
    return new Set([
      ...this.accounts.namespaces(),
      ...[...this.secrets.values()].flatMap((store) => [...store.keys()]),
    ]);
  }

  /** All of both: the namespaces that may need work. */
  concerned(): Set<string> {
    return new Set([...this.targets(), ...this.namespacesWithObjects()]);
  }

  /** Whether a managed object exists in a namespace, whoever made it. */
  exists(namespace: string, { kind, name }: ObjectRef): boolean {
    const found = kind === "Secret" ? this.secrets.get(name)?.get(namespace) : this.accounts.get(namespace, name);
    return found !== undefined;
  }

  /** Whether a secret has the same type in the Deployment's present configuration as in that of this helper, as far as is known. */
  isTypeWanted(name: string): boolean {
    return this.#sameTypes?.has(name) !== false;
  }

  /** What the cache would keep of a secret, without keeping it. */
  projectSecret(name: string, secret: PartialObjectMetadata): CachedSecret {
    return this.#projections.secret(name, secret);
  }

  #observeDeployment(deployment: Deployment): void {
    const template = JSON.stringify(deployment.spec.template);
    // Nearly all of its changes are of its status.
    if (template === this.#lastTemplate) return;
    this.#lastTemplate = template;
    this.#template ??= template;
    const before = this.targets();
    const successor = parsedSuccessor(this.#config, deployment);
    this.#sameTypes = successor && sameTypes(this.#config, successor);
    this.#keptBySuccessor = template === this.#template ? undefined : successor && keptBy(successor);
    const after = this.targets();
    const both = new Set([...before, ...after]);
    if (both.size === before.length && both.size === after.length) return;
    for (const namespace of both) this.#onChange(namespace);
  }
}

const namespaceOf = ({ namespace = "" }: ObjectMeta): string => namespace;
