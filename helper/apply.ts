// Brings one namespace to its desired state. Secrets by server-side apply; the service account by a patch of its own lists.
import type { HelperConfig } from "./config.ts";
import {
  authsOf,
  basicAuthSecret,
  fieldManager,
  newServiceAccount,
  ownLabels,
  pullSecret,
  serviceAccountPatch,
  type Auths,
  type Metadata,
  type Secret,
  type ServiceAccount,
  type Tokens,
} from "./desired.ts";
import { KubeError, orUndefined, type Kube } from "./kube.ts";

/** Which objects a namespace gets: builds want all three, the helper's own namespace the pull secret only. */
export interface Target {
  readonly namespace: string;
  readonly builds: boolean;
}

export interface ObjectResult {
  /** Kind and name as kubectl shows them, `secret/ecr-creds`. */
  readonly object: string;
  readonly outcome: "created" | "configured" | "unchanged" | "failed";
  readonly error?: unknown;
}

/** A secret of the wanted name that this helper did not make. It is left alone. */
export class ForeignObjectError extends Error {}

const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/** How often a service account is read again because somebody else wrote it in between. */
const conflictRetries = 10;

/** Applies a target, or `only` some of its objects. Never rejects: every object's failure is in its result. */
export type Apply = (
  target: Target,
  tokens: Tokens,
  only: ReadonlySet<string> | undefined,
  signal: AbortSignal,
) => Promise<ObjectResult[]>;

/** Gives the function that applies targets in the cluster. */
export function createApply(kube: Kube, config: HelperConfig): Apply {
  return async ({ namespace, builds }, tokens, only, signal) => {
    const core = `/api/v1/namespaces/${namespace}`;

    const serverSideApply = async (path: string, body: object, force: boolean): Promise<unknown> => {
      const query = `fieldManager=${fieldManager}&force=${String(force)}`;
      return kube({
        method: "PATCH",
        path: `${path}?${query}`,
        contentType: "application/apply-patch+yaml",
        body,
        signal,
      });
    };

    /** A secret that nothing is known for (no token) stays as it is. */
    const applySecret = async (secret: Secret | undefined): Promise<ObjectResult["outcome"]> => {
      if (secret === undefined) return "unchanged";
      const path = `${core}/secrets/${secret.metadata.name}`;
      const found = await orUndefined(
        kube<{ metadata: Metadata }>({ method: "GET", path, accept: metadataOnly, signal }),
      );
      // Without force, so that a secret somebody made since the look above is a conflict and not overwritten.
      if (found === undefined) return serverSideApply(path, secret, false).then(() => "created");
      if (!isOwn(found.metadata, config)) {
        throw new ForeignObjectError(
          `secret ${namespace}/${secret.metadata.name} exists and was not made by this helper, so it is left as it is. ` +
            "Delete it, or let the helper use another name (ecr-helper:basicAuthSecret, ecr-helper:pullSecret)",
        );
      }
      const metadata = { ...secret.metadata, uid: found.metadata.uid };
      return serverSideApply(path, { ...secret, metadata }, true).then(() => "configured");
    };

    const applyServiceAccount = async (): Promise<ObjectResult["outcome"]> => {
      const path = `${core}/serviceaccounts/${config.serviceAccount}`;
      for (let attempt = 1; ; attempt++) {
        const found = await orUndefined(kube<ServiceAccount>({ method: "GET", path, signal }));
        const patch = found && serviceAccountPatch(config, found);
        if (found !== undefined && patch === undefined) return "unchanged";
        try {
          if (found === undefined) {
            await serverSideApply(path, newServiceAccount(config, namespace), false);
            return "created";
          }
          await kube({ method: "PATCH", path, contentType: "application/merge-patch+json", body: patch, signal });
          return "configured";
        } catch (error) {
          // Somebody wrote it between our look and our write: look again, so that neither loses anything.
          if (!(error instanceof KubeError && error.status === 409) || attempt === conflictRetries) throw error;
        }
      }
    };

    /** What the pull secret holds now, read only when some registry has no token and its old entry has to be kept. */
    const keptAuths = async (): Promise<Auths> => {
      if (config.registries.every(({ region }) => tokens.has(region))) return {};
      const path = `${core}/secrets/${config.pullSecret}`;
      const found = await orUndefined(kube<Secret>({ method: "GET", path, signal }));
      return found !== undefined && isOwn(found.metadata, config) ? authsOf(found.data) : {};
    };

    const results: ObjectResult[] = [];
    const attempt = async (object: string, work: () => Promise<ObjectResult["outcome"]>): Promise<void> => {
      if (only?.has(object) === false) return;
      try {
        results.push({ object, outcome: await work() });
      } catch (error) {
        results.push({ object, outcome: "failed", error });
      }
    };
    if (builds) {
      await attempt(`serviceaccount/${config.serviceAccount}`, applyServiceAccount);
      await attempt(`secret/${config.basicAuthSecret}`, async () =>
        applySecret(basicAuthSecret(config, namespace, tokens)),
      );
    }
    await attempt(`secret/${config.pullSecret}`, async () =>
      applySecret(pullSecret(config, namespace, tokens, await keptAuths())),
    );
    return results;
  };
}

const isOwn = ({ labels = {} }: Metadata, config: HelperConfig): boolean =>
  Object.entries(ownLabels(config)).every(([key, value]) => labels[key] === value);

/** Whether a failure says that the namespace is not there, or is on its way out: nothing can be kept in it. */
export const isNamespaceGone = (error: unknown): boolean =>
  error instanceof KubeError && (error.status === 404 || error.reason === "NamespaceTerminating");

/** Whether a failure says that the helper has no right to do what it tried. */
export const isForbidden = (error: unknown): boolean =>
  error instanceof KubeError && error.status === 403 && !isNamespaceGone(error);

/** Records an Event on an object, so that `kubectl describe` and `kubectl get events` tell what the log does. */
export async function recordWarning(
  kube: Kube,
  namespace: string,
  object: string,
  reason: string,
  message: string,
): Promise<void> {
  const [kind = "", name = ""] = object.split("/");
  const now = new Date().toISOString();
  const event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { generateName: `${name}.`, namespace },
    involvedObject: { apiVersion: "v1", kind: kind === "secret" ? "Secret" : "ServiceAccount", namespace, name },
    type: "Warning",
    reason,
    message,
    source: { component: fieldManager },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
  await kube({ method: "POST", path: `/api/v1/namespaces/${namespace}/events`, body: event });
}
