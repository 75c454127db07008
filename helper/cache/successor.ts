// The next helper, as this one's Deployment describes it.
import { createHash } from "node:crypto";
import { readConfig, type HelperConfig } from "../config/helper-config.ts";
import { isDynamic, staticNamespaces } from "../shared/namespace-rules.ts";

/** The fields of a Deployment that the helper reads. */
export interface Deployment {
  readonly metadata: { readonly deletionTimestamp?: string; readonly generation?: number };
  readonly spec: {
    readonly template: {
      readonly spec: { readonly containers: readonly { readonly env?: readonly { name: string; value?: string }[] }[] };
    };
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
  };
}

/** The API path of the helper's own Deployment. */
export const deploymentPath = ({ namespace, deployment }: HelperConfig): string =>
  `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment}`;

/** The configuration of the helper that a Deployment creates. Throws when this version cannot parse it. */
export function successorOf(config: HelperConfig, { spec }: Deployment): HelperConfig {
  const env = Object.fromEntries(
    spec.template.spec.containers.flatMap(({ env = [] }) => env.map(({ name, value }) => [name, value])),
  );
  return readConfig({
    ...env,
    ECR_HELPER_NAMESPACE: config.namespace,
    ECR_HELPER_POD: config.pod,
    ECR_HELPER_TEMPLATE: config.template,
  });
}

/**
 * Whether a helper of the Deployment's present template is ready, which means that it has written everything itself. All others
 * being ready, there are more ready helpers than others then.
 */
export const isSuccessorReady = ({ metadata, status = {} }: Deployment): boolean => {
  const { observedGeneration, replicas = 0, updatedReplicas = 0, readyReplicas = 0 } = status;
  return observedGeneration === metadata.generation && readyReplicas > replicas - updatedReplicas;
};

/** A hash of which objects a helper keeps, and where: one helper tells another by it what it has written. */
export function keptHash(config: HelperConfig): string {
  const { secretNames, ownSecretNames, serviceAccount, buildNamespaces, excludeNamespaces, namespaceSelector } = config;
  const kept = [secretNames, ownSecretNames, serviceAccount, buildNamespaces, excludeNamespaces, namespaceSelector];
  return createHash("sha256").update(JSON.stringify(kept)).digest("hex").slice(0, 16);
}

/** The only build namespaces that the successor keeps; undefined when patterns or a selector leave that to the successor. */
export const keptBy = (successor: HelperConfig): ReadonlySet<string> | undefined =>
  isDynamic(successor) ? undefined : new Set(staticNamespaces(successor));

/** The only build namespaces that the next helper will keep; undefined when it may keep any, or cannot be parsed. */
export function keptNext(config: HelperConfig, deployment: Deployment): ReadonlySet<string> | undefined {
  try {
    return keptBy(successorOf(config, deployment));
  } catch {
    return undefined; // The Deployment is of another version; `planCleanUp` logs that when this helper ends.
  }
}
