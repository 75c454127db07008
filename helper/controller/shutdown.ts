// What a helper removes when it ends, or is lent the Lease to. After a restart, or when only the Deployment is deleted, everything
// stays as it is. When the stack is destroyed, or the next helper keeps fewer objects, this helper still has the rights to remove
// what no helper would look after any more.
import type { ClusterCache } from "../cache/cluster-cache.ts";
import {
  deploymentCollection,
  deploymentPath,
  isObserved,
  keptBy,
  successorOf,
  type Deployment,
} from "../cache/successor.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { undefinedIfNotFound } from "../kube/errors.ts";
import { formatRef, type ObjectRef } from "../kube/object-ref.ts";
import type { Kube, KubeStream } from "../kube/types.ts";
import type { Log } from "../runtime/logger.ts";
import { inParallel } from "../runtime/parallel.ts";
import { errorMessage } from "../shared/messages.ts";
import { createNamespaceTest } from "../shared/secret-definition.ts";
import { managedObjects } from "./plan.ts";
import type { Writer } from "./writer.ts";

/** The timeout for reading the Deployment, in milliseconds: an unreachable API server must not delay the end of the helper. */
const readTimeout = 700;
/**
 * How long to wait for the Deployment's status, in milliseconds: its controller ends the pods of another template before it says how
 * many are ready.
 */
const statusTimeout = 2_000;
/** How long a helper may clean up, in milliseconds: less than the pod's terminationGracePeriodSeconds. */
export const cleanupTimeout = 25_000;
const concurrency = 32;

/** The next helper: its configuration, and the Deployment that has it. */
interface NextHelper {
  readonly config: HelperConfig;
  readonly deployment: Deployment;
}

/** What a plan is made through. */
export interface PlanDependencies {
  readonly kube: Kube;
  readonly stream: KubeStream;
  readonly log: Log;
}

/** Whether a helper with the configuration that the Deployment has now has written everything. */
export type HasWritten = (deployment: Deployment, next: HelperConfig) => boolean;

/** What follows this helper: another one, one that nothing is known about yet, or none. */
type Successor = NextHelper | "unknown" | "none";

/** Removes what was planned, until the signal aborts. Never rejects: a failure is logged. */
type CleanUp = (writer: Writer, signal: AbortSignal) => Promise<void>;

/**
 * Resolves to what removes the objects that the next helper will not keep; to undefined where there are none, or where nothing is
 * known about that helper. Never rejects.
 */
export async function planCleanUp(
  config: HelperConfig,
  cache: ClusterCache,
  { kube, stream, log }: PlanDependencies,
  hasWritten: HasWritten,
): Promise<CleanUp | undefined> {
  try {
    const successor = await readSuccessor(config, kube);
    if (successor === "unknown") {
      log("info", "the stack still exists without this Deployment: nothing is removed");
      return undefined;
    }
    const planFor = (isWritten: boolean): Cleanup[] => planCleanups(config, cache, successor, isWritten);
    let cleanups = planFor(true);
    // The status may take time: it is awaited only where something depends on it.
    if (successor !== "none" && planFor(false).length < cleanups.length) {
      const deployment = await withStatus(config, successor.deployment, stream);
      cleanups = planFor(hasWritten(deployment, successor.config));
    }
    if (cleanups.length === 0) return undefined;
    return async (writer, signal) => {
      log(
        "info",
        successor === "none"
          ? "the stack is being destroyed: removing what Kubernetes does not collect with it"
          : "removing what the next helper will not keep",
      );
      await performCleanups(cleanups, writer, log, signal);
    };
  } catch (error) {
    log("warn", `nothing was removed: the next helper is not known: ${errorMessage(error)}`);
    return undefined;
  }
}

async function performCleanups(
  cleanups: readonly Cleanup[],
  writer: Writer,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  await inParallel(cleanups, concurrency, async ({ namespace, object, run }) => {
    const [level, outcome] = await run(writer, signal).then(
      (done) => ["info", done] as const,
      (error: unknown) => ["warn", `could not be removed: ${errorMessage(error)}`] as const,
    );
    const name = formatRef(object);
    log(level, `${name} in namespace ${namespace}: ${outcome}`, { namespace, object: name });
  });
}

/** Rejects when the API server does not answer, or when the Deployment's configuration cannot be parsed. */
async function readSuccessor(config: HelperConfig, kube: Kube): Promise<Successor> {
  const read = async <T>(path: string): Promise<T | undefined> =>
    undefinedIfNotFound(kube<T>({ method: "GET", path, signal: AbortSignal.timeout(readTimeout) }));
  const found = await read<Deployment>(deploymentPath(config));
  if (found !== undefined && found.metadata.deletionTimestamp === undefined)
    return { config: successorOf(config, found), deployment: found };
  // The Deployment may have been deleted by hand, or be being replaced. Only destroying the stack deletes the marker before it.
  const marker = await read(`/apis/rbac.authorization.k8s.io/v1/clusterroles/${config.marker}`);
  return marker === undefined ? "none" : "unknown";
}

/** Resolves to the Deployment once its status is that of what it is now, or as it was after some time. Rejects as `stream`. */
async function withStatus(config: HelperConfig, found: Deployment, stream: KubeStream): Promise<Deployment> {
  if (isObserved(found)) return found;
  const signal = AbortSignal.timeout(statusTimeout);
  try {
    const path = `${deploymentCollection(config)}&watch=1&resourceVersion=${found.metadata.resourceVersion ?? ""}`;
    for await (const line of stream({ method: "GET", path, signal })) {
      const { type, object } = JSON.parse(line) as { type: string; object: Deployment };
      if (type === "MODIFIED" && isObserved(object)) return object;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return found;
}

interface Cleanup {
  readonly namespace: string;
  readonly object: ObjectRef;
  readonly run: (writer: Writer, signal: AbortSignal) => Promise<string>;
}

/**
 * What is this helper's and will be no helper's. Without a successor Kubernetes collects the secrets, by their owner; only service
 * accounts are left to clean up, as they may stay. `isWritten` says whether the successor has written everything.
 */
function planCleanups(
  config: HelperConfig,
  cache: ClusterCache,
  successor: NextHelper | "none",
  isWritten: boolean,
): Cleanup[] {
  const { secrets, accounts } = managedObjects(config);
  const isKept = createKeptTest(config, successor, isWritten);
  const removeSecret = (namespace: string, object: ObjectRef): Cleanup[] => {
    const seen = cache.secrets.get(object.name)?.get(namespace);
    if (seen?.isOwned !== true || isKept(namespace, object)) return [];
    return [
      { namespace, object, run: async (writer, signal) => writer.removeSecret(namespace, object.name, seen, signal) },
    ];
  };
  const releaseAccount = (namespace: string, object: ObjectRef): Cleanup[] => {
    const { name } = object;
    if (cache.accounts.get(name)?.get(namespace)?.hasOwnEntries !== true || isKept(namespace, object)) return [];
    return [{ namespace, object, run: async (writer, signal) => writer.releaseAccount(namespace, name, signal) }];
  };
  return [...cache.namespacesWithObjects()].flatMap((namespace) => [
    ...(successor === "none" ? [] : secrets.flatMap((object) => removeSecret(namespace, object))),
    ...accounts.flatMap((object) => releaseAccount(namespace, object)),
  ]);
}

/**
 * Creates the test of whether an object in a namespace stays, because the successor keeps it. What it keeps under another name, or
 * elsewhere, stays as well until the successor has written everything: in a rollout that fails this is all that the namespace has.
 */
function createKeptTest(
  config: HelperConfig,
  successor: NextHelper | "none",
  isWritten: boolean,
): (namespace: string, object: ObjectRef) => boolean {
  if (successor === "none") return () => false;
  const { ownSecretNames, furtherSecrets } = successor.config;
  const isIn = createNamespaceTest(furtherSecrets);
  const objects = new Set(managedObjects(successor.config).all.map(formatRef));
  const namespaces = keptBy(successor.config);
  return (namespace, object) => {
    const isOwn = namespace === config.namespace;
    const isBuild = namespaces?.has(namespace) !== false;
    const isWanted = objects.has(formatRef(object)) && (object.kind !== "Secret" || isIn(object.name, namespace));
    if (!isWanted) return !isWritten && (isBuild || isOwn);
    return isBuild || (isOwn && object.kind === "Secret" && ownSecretNames.includes(object.name));
  };
}
