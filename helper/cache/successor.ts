// The next helper, as this one's Deployment describes it.
import { createHash } from "node:crypto";
import { allConfigs } from "../config/namespaces.ts";
import { readConfig, type HelperConfig } from "../config/helper-config.ts";
import { nameSelector } from "../kube/object-ref.ts";
import { dockerConfigType } from "../shared/docker-config.ts";
import { tokensSecretNames } from "../shared/groups.ts";
import { basicAuthType } from "../shared/secret-definition.ts";
import { isDynamic, staticNamespaces } from "../shared/namespace-rules.ts";

/** The fields of a Deployment that the helper reads. */
export interface Deployment {
  readonly metadata: {
    readonly deletionTimestamp?: string;
    readonly generation?: number;
    readonly resourceVersion?: string;
  };
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

const deploymentsPath = ({ namespace }: HelperConfig): string => `/apis/apps/v1/namespaces/${namespace}/deployments`;

/** The API path of the helper's own Deployment. */
export const deploymentPath = (config: HelperConfig): string => `${deploymentsPath(config)}/${config.deployment}`;

/** The API path of the collection that has this Deployment only. */
export const deploymentCollection = (config: HelperConfig): string =>
  `${deploymentsPath(config)}?${nameSelector(config.deployment)}`;

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

/** Whether the status is that of the Deployment as it is now. */
export const isObserved = ({ metadata, status }: Deployment): boolean =>
  status?.observedGeneration === metadata.generation;

/**
 * Whether a helper of the Deployment's present template is ready, which means that it has written everything itself. `isReady` says
 * whether the helper that asks, of another template, is. All other helpers being ready, there are more ready ones than others then.
 */
export function isSuccessorReady(deployment: Deployment, isReady: boolean): boolean {
  const { replicas = 0, updatedReplicas = 0, readyReplicas = 0 } = deployment.status ?? {};
  const others = Math.max(0, replicas - updatedReplicas - (isReady ? 0 : 1));
  return isObserved(deployment) && readyReplicas > others;
}

/** The types of secrets that a helper of this configuration makes, by name. A name has the same type in every group. */
function typesOf(config: HelperConfig): ReadonlyMap<string, string> {
  const all = allConfigs(config);
  return new Map([
    ...all
      .flatMap(({ basicAuthSecrets }) => [...basicAuthSecrets.values()])
      .map((name) => [name, basicAuthType] as const),
    ...[config.pullSecret, ...tokensSecretNames(config)].map((name) => [name, dockerConfigType] as const),
    ...all.flatMap(({ furtherSecrets }) => furtherSecrets.map(({ name, type }) => [name, type] as const)),
  ]);
}

/** The secrets, by name, that have the same type in the next helper's configuration as in this one's. */
export function sameTypes(config: HelperConfig, successor: HelperConfig): ReadonlySet<string> {
  const [own, next] = [typesOf(config), typesOf(successor)];
  return new Set([...own.keys()].filter((name) => own.get(name) === next.get(name)));
}

/** A hash of which objects a helper keeps, and where: one helper tells another by it what it has written. */
export function keptHash(config: HelperConfig): string {
  const { secretNames, ownSecretNames, furtherSecrets, serviceAccounts, serviceAccountSelector } = config;
  const { buildNamespaces, excludeNamespaces, namespaceSelector, groups } = config;
  const kept = [secretNames, ownSecretNames, serviceAccounts, buildNamespaces, excludeNamespaces, namespaceSelector];
  kept.push(...furtherSecrets.map(({ namespaces }) => namespaces));
  for (const group of groups) {
    const { secretNames: names, furtherSecrets: further } = group.config;
    kept.push(group.namespaces, names, ...further.map(({ namespaces }) => namespaces));
  }
  // Without a selector, helpers that know none have the same hash.
  if (serviceAccountSelector !== "") kept.push(serviceAccountSelector);
  return createHash("sha256").update(JSON.stringify(kept)).digest("hex").slice(0, 16);
}

/** The only build namespaces that the successor keeps; undefined when patterns or a selector leave that to the successor. */
export const keptBy = (successor: HelperConfig): ReadonlySet<string> | undefined =>
  isDynamic(successor) ? undefined : new Set(staticNamespaces(successor));

/** The configuration of the next helper; undefined when this version cannot parse it. */
export function parsedSuccessor(config: HelperConfig, deployment: Deployment): HelperConfig | undefined {
  try {
    return successorOf(config, deployment);
  } catch {
    return undefined; // The Deployment is of another version; `planCleanUp` logs that when this helper ends.
  }
}
