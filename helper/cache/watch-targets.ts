// The collections that the helper watches. Its rights name single objects where they can, so it lists and watches by name as well.
import { createSecretNames } from "../config/namespaces.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { nameSelector } from "../kube/object-ref.ts";
import type { Sink } from "../kube/reflector.ts";
import type { KubeObject, PartialObjectMetadata } from "../kube/types.ts";
import { isDynamic, staticNamespaces } from "../shared/namespace-rules.ts";
import type { Accounts } from "./accounts.ts";
import type { CachedNamespace, CachedSecret } from "./cached-objects.ts";
import { ownerKind, ownerNames } from "../shared/ownership.ts";
import type { Owners } from "./owners.ts";
import { tokensSecretNames } from "../shared/groups.ts";
import type { Store } from "./store.ts";
import { deploymentCollection } from "./successor.ts";

/** A collection of the API to list and watch. */
export interface WatchTarget {
  /** The path with its selectors, as the reflector takes it. */
  readonly path: string;
  /** Whether only metadata is requested, so that the data of secrets never reaches the helper. */
  readonly metadataOnly: boolean;
  readonly sink: Sink<KubeObject>;
  /** The only namespace that the collection covers; undefined for all. */
  readonly namespace: string | undefined;
  /** Called when the API server keeps refusing the collection: what it has counts as gone. Without it no decision is made then. */
  readonly refused?: () => void;
}

/** The stores that the watches fill. */
export interface Stores {
  /** Filled only where namespaces are included by pattern or selector. */
  readonly namespaces: Store<CachedNamespace, PartialObjectMetadata>;
  /** By the secret's name. */
  readonly secrets: ReadonlyMap<string, Store<CachedSecret, PartialObjectMetadata>>;
  readonly accounts: Accounts;
}

/** Everything to watch: cluster-wide for rules with patterns or a selector, otherwise namespace by namespace. */
export function watchTargetsOf(
  config: HelperConfig,
  stores: Stores,
  owners: Owners,
  onDeployment: (object: KubeObject) => void,
): WatchTarget[] {
  const objects = isDynamic(config)
    ? [watchNamespaces(stores), ...watchEverywhere(config, stores)]
    : watchStaticNamespaces(config, stores);
  return [
    ...objects,
    watchDeployment(config, onDeployment),
    ...ownerNames(config).map((name) => watchOwner(owners, name)),
  ];
}

/** Without the right to read an owner, the role that grants it is missing, and that is the owners themselves. */
function watchOwner(owners: Owners, name: string): WatchTarget {
  const path = `/apis/${ownerKind.apiVersion}/clusterroles?${nameSelector(name)}`;
  return { path, metadataOnly: true, sink: owners.sink(name), namespace: undefined, refused: () => owners.lost(name) };
}

function watchNamespaces({ namespaces }: Stores): WatchTarget {
  const sink = namespaces.sink(() => true);
  return { path: "/api/v1/namespaces", metadataOnly: true, sink, namespace: undefined };
}

function watchStaticNamespaces(config: HelperConfig, stores: Stores): WatchTarget[] {
  const { namespace, ownSecretNames } = config;
  const [names, secretsIn] = [staticNamespaces(config), createSecretNames(config)];
  const builds = names.flatMap((name) => [
    ...watchSecrets(stores, secretsIn(name), name),
    ...watchAccounts(stores, name),
  ]);
  if (names.includes(namespace)) return builds;
  return [...builds, ...watchSecrets(stores, ownSecretNames, namespace)];
}

/** The secrets and service accounts of all namespaces. Those with the tokens of groups are in the helper's own alone. */
function watchEverywhere(config: HelperConfig, stores: Stores): WatchTarget[] {
  const tokens = tokensSecretNames(config);
  const names = config.allSecretNames.filter((name) => !tokens.includes(name));
  return [
    ...watchSecrets(stores, names, undefined),
    ...watchSecrets(stores, tokens, config.namespace),
    ...watchAccounts(stores, undefined),
  ];
}

const watchSecrets = ({ secrets }: Stores, names: readonly string[], namespace: string | undefined): WatchTarget[] =>
  names.map((name) => {
    const store = secrets.get(name);
    if (store === undefined) throw new Error(`the helper manages no secret named ${name}`);
    const path = pathOf("secrets", name, namespace);
    return { path, metadataOnly: true, sink: store.sink(isIn(namespace)), namespace };
  });

const watchAccounts = ({ accounts }: Stores, namespace: string | undefined): WatchTarget[] =>
  accounts.watches(namespace).map(({ name, sink }) => ({
    path: pathOf("serviceaccounts", name, namespace),
    metadataOnly: false,
    sink,
    namespace,
  }));

/**
 * The helper watches its own Deployment, because it has to remove what its successor will not keep as soon as it sees the new
 * template: its rights to do so end with the rollout.
 */
function watchDeployment(config: HelperConfig, set: (object: KubeObject) => void): WatchTarget {
  const sink = { set, delete: () => undefined, listed: () => undefined };
  return { path: deploymentCollection(config), metadataOnly: false, sink, namespace: config.namespace };
}

const isIn =
  (namespace: string | undefined) =>
  (key: string): boolean =>
    namespace === undefined || key === namespace;

/**
 * Objects of one name, or of all where it is undefined, in one namespace or in all. Rights that are granted by name allow to list and
 * watch nothing else.
 */
function pathOf(resource: string, name: string | undefined, namespace: string | undefined): string {
  const core = namespace === undefined ? "/api/v1" : `/api/v1/namespaces/${namespace}`;
  return `${core}/${resource}${name === undefined ? "" : `?${nameSelector(name)}`}`;
}
