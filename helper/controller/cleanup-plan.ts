// Which objects of this helper will be no helper's.
import type { CachedAccount } from "../cache/cached-objects.ts";
import type { ClusterCache } from "../cache/cluster-cache.ts";
import { keptBy, type Deployment } from "../cache/successor.ts";
import { createSecretNames } from "../config/namespaces.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import type { ObjectRef } from "../kube/object-ref.ts";
import { createAccountMatcher } from "../shared/account-rules.ts";
import type { Labels } from "../shared/label-selector.ts";
import { matchesAny } from "../shared/namespace-rules.ts";
import { managedObjects } from "./plan.ts";
import type { Writer } from "./writer.ts";

/** The next helper: its configuration, and the Deployment that has it. */
export interface NextHelper {
  readonly config: HelperConfig;
  readonly deployment: Deployment;
}

/** The removal of one object. */
export interface Cleanup {
  readonly namespace: string;
  readonly object: ObjectRef;
  readonly run: (writer: Writer, signal: AbortSignal) => Promise<string>;
}

/**
 * What is this helper's and will be no helper's. Without a successor Kubernetes collects the secrets, by their owner; only service
 * accounts are left to clean up, as they may stay. `isWritten` says whether the successor has written everything.
 */
export function planCleanups(
  config: HelperConfig,
  cache: ClusterCache,
  successor: NextHelper | "none",
  isWritten: boolean,
): Cleanup[] {
  const kept = successor === "none" ? nothing : keptObjects(config, successor.config, isWritten);
  const { secrets } = managedObjects(config);
  const removeSecret = (namespace: string, object: ObjectRef): Cleanup[] => {
    const { name } = object;
    const seen = cache.secrets.get(name)?.get(namespace);
    if (seen?.isOwned !== true || kept.secret(namespace, name)) return [];
    return [{ namespace, object, run: async (writer, signal) => writer.removeSecret(namespace, name, seen, signal) }];
  };
  const releaseAccount = (namespace: string, name: string, seen: CachedAccount): Cleanup[] => {
    if (!seen.hasOwnEntries || kept.account(namespace, name, seen)) return [];
    const object = { kind: "ServiceAccount", name } as const;
    const isKept = (labels?: Labels): boolean => kept.labelledAccount(namespace, name, labels);
    const options = { isKept, goesWithStack: successor === "none" };
    return [
      { namespace, object, run: async (writer, signal) => writer.releaseAccount(namespace, name, signal, options) },
    ];
  };
  return [...cache.namespacesWithObjects()].flatMap((namespace) => [
    ...(successor === "none" ? [] : secrets.flatMap((object) => removeSecret(namespace, object))),
    ...[...cache.accounts.in(namespace)].flatMap(([name, seen]) => releaseAccount(namespace, name, seen)),
  ]);
}

/** Tests of whether an object in a namespace stays. */
interface Kept {
  readonly secret: (namespace: string, name: string) => boolean;
  readonly account: (namespace: string, name: string, seen: CachedAccount) => boolean;
  /** The same when the labels of a service account have been read: the cache keeps none. */
  readonly labelledAccount: (namespace: string, name: string, labels?: Labels) => boolean;
}

const nothing: Kept = { secret: () => false, account: () => false, labelledAccount: () => false };

/**
 * What stays because the successor keeps it. What it keeps under another name, or elsewhere, stays as well until the successor has written everything:
 * in a rollout that fails this is all that the namespace has.
 */
function keptObjects(config: HelperConfig, next: HelperConfig, isWritten: boolean): Kept {
  const namespaces = keptBy(next);
  const isBuild = (namespace: string): boolean => namespaces?.has(namespace) !== false;
  const isReplaced = (namespace: string): boolean =>
    !isWritten && (isBuild(namespace) || namespace === config.namespace);
  const [includes, isNamed] = [createAccountMatcher(next), matchesAny(next.serviceAccounts)];
  const secretNames = createSecretNames(next);
  const hasSameRules = rulesOf(config) === rulesOf(next);
  const isAccountKept = (namespace: string, isIncluded: boolean): boolean =>
    isIncluded ? isBuild(namespace) : isReplaced(namespace);
  return {
    secret: (namespace, name) => {
      const isOwn = namespace === config.namespace && next.ownSecretNames.includes(name);
      if (!isOwn && !secretNames(namespace).includes(name)) return isReplaced(namespace);
      return isOwn || isBuild(namespace);
    },
    account: (namespace, name, seen) => isAccountKept(namespace, hasSameRules ? seen.isIncluded : isNamed(name)),
    labelledAccount: (namespace, name, labels) => isAccountKept(namespace, includes(name, labels)),
  };
}

/** The rules for service accounts, to be compared. */
const rulesOf = ({ serviceAccounts, serviceAccountSelector }: HelperConfig): string =>
  JSON.stringify([serviceAccounts, serviceAccountSelector]);
