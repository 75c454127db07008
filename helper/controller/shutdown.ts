// The end of a helper. A restart leaves everything as it is, and so does the end of its Deployment alone; but where the stack
// is being destroyed, or the next helper will keep less, this one still has the rights to take back what nobody would look
// after any more.
import type { Writer } from "./writer.ts";
import type { HelperConfig } from "../config/helper-config.ts";
import { undefinedIfNotFound } from "../kube/errors.ts";
import type { Kube } from "../kube/types.ts";
import type { Log } from "../runtime/logger.ts";
import { errorMessage } from "../shared/messages.ts";
import type { ClusterCache } from "../cache/cluster-cache.ts";
import { inParallel } from "../runtime/parallel.ts";
import { deploymentPath, keptBy, successorOf, type Deployment } from "../cache/successor.ts";
import { objectsOf } from "./plan.ts";

/** How long the look at the Deployment may take, in milliseconds: an end is not held up by an API server that is away. */
const lookLimit = 700;
/** How long taking back may take, in milliseconds: less than the pod's terminationGracePeriodSeconds. */
const workLimit = 20_000;
const concurrency = 16;

/** What comes after this helper: one with this configuration, one of which nothing is known yet, or none. */
type Next = HelperConfig | "another" | "none";

/** Takes back what the next helper will not keep. Never rejects: what could not be done is told. */
export async function cleanUpOnShutdown(
  config: HelperConfig,
  observed: ClusterCache,
  writer: Writer,
  kube: Kube,
  log: Log,
): Promise<void> {
  try {
    const successor = await nextOf(config, kube);
    if (successor === "another")
      return void log("info", "the stack goes on without this Deployment: all stays as it is");
    const work = cleanups(config, observed, successor);
    if (work.length === 0) return;
    log(
      "info",
      successor === "none"
        ? "the stack is being destroyed: taking back what is not collected with it"
        : "taking back what the next helper will not keep",
    );
    const limit = AbortSignal.timeout(workLimit);
    await inParallel(work, concurrency, async ({ namespace, object, run }) => {
      const [level, outcome] = await run(writer, limit).then(
        (done) => ["info", done] as const,
        (error: unknown) => ["warn", `it is left: ${errorMessage(error)}`] as const,
      );
      log(level, `${object} in namespace ${namespace}: ${outcome}`, { namespace, object });
    });
  } catch (error) {
    log("warn", `left everything as it is: what comes next is not known: ${errorMessage(error)}`);
  }
}

/** Fails where the API server does not tell. */
async function nextOf(config: HelperConfig, kube: Kube): Promise<Next> {
  const look = async <T>(path: string): Promise<T | undefined> =>
    undefinedIfNotFound(kube<T>({ method: "GET", path, signal: AbortSignal.timeout(lookLimit) }));
  const found = await look<Deployment>(deploymentPath(config));
  if (found !== undefined && found.metadata.deletionTimestamp === undefined) return successorOf(config, found);
  // Deleted by hand, or replaced: only the end of the stack takes the marker first.
  const marker = await look(`/apis/rbac.authorization.k8s.io/v1/clusterroles/${config.marker}`);
  return marker === undefined ? "none" : "another";
}

interface Cleanup {
  readonly namespace: string;
  readonly object: string;
  readonly run: (writer: Writer, signal: AbortSignal) => Promise<string>;
}

/** What is the helper's now and will be nobody's then. With the stack its secrets are collected: only accounts may stay. */
function cleanups(config: HelperConfig, observed: ClusterCache, successor: HelperConfig | "none"): Cleanup[] {
  const keeps = keepingOf(config, successor);
  const all: Cleanup[] = [];
  for (const namespace of observed.namespacesWithObjects()) {
    for (const [name, collection] of successor === "none" ? [] : observed.secrets) {
      const seen = collection.get(namespace);
      const object = `secret/${name}`;
      if (seen?.isOwned !== true || keeps(namespace, object)) continue;
      all.push({
        namespace,
        object,
        run: async (writer, signal) => writer.removeSecret(namespace, name, seen, signal),
      });
    }
    const object = `serviceaccount/${config.serviceAccount}`;
    if (observed.accounts.get(namespace)?.hasOwnEntries !== true || keeps(namespace, object)) continue;
    all.push({ namespace, object, run: async (writer, signal) => writer.releaseAccount(namespace, signal) });
  }
  return all;
}

function keepingOf(
  config: HelperConfig,
  successor: HelperConfig | "none",
): (namespace: string, object: string) => boolean {
  if (successor === "none") return () => false;
  const objects = new Set(objectsOf(successor));
  const kept = keptBy(successor);
  const ownSecrets = new Set(successor.ownSecretNames.map((name) => `secret/${name}`));
  return (namespace, object) =>
    objects.has(object) &&
    (kept?.has(namespace) !== false || (namespace === config.namespace && ownSecrets.has(object)));
}
