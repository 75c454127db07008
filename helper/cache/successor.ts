// What the helper's own Deployment says of the next helper.
import { readConfig, type HelperConfig } from "../config/helper-config.ts";
import { isDynamic, staticNamespaces } from "../shared/namespace-rules.ts";

export interface Deployment {
  readonly metadata: { readonly deletionTimestamp?: string };
  readonly spec: {
    readonly template: {
      readonly spec: { readonly containers: readonly { readonly env?: readonly { name: string; value?: string }[] }[] };
    };
  };
}

export const deploymentPath = ({ namespace, deployment }: HelperConfig): string =>
  `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment}`;

/** The configuration of the helper that a Deployment makes. Throws where it is none that this helper understands. */
export function successorOf(config: HelperConfig, { spec }: Deployment): HelperConfig {
  const env = Object.fromEntries(
    spec.template.spec.containers.flatMap(({ env = [] }) => env.map(({ name, value }) => [name, value])),
  );
  return readConfig({ ...env, ECR_HELPER_NAMESPACE: config.namespace, ECR_HELPER_POD: config.pod });
}

/** The only build namespaces that a helper keeps; undefined of one that keeps them by pattern: it sees by itself which. */
export const keptBy = (successor: HelperConfig): ReadonlySet<string> | undefined =>
  isDynamic(successor) ? undefined : new Set(staticNamespaces(successor));

/** The only build namespaces that the next helper will keep; undefined where nothing is known against any. */
export function keptNext(config: HelperConfig, deployment: Deployment): ReadonlySet<string> | undefined {
  try {
    return keptBy(successorOf(config, deployment));
  } catch {
    return undefined; // Of another version: what it means is its own to see to, and said by `handOver` when this one ends.
  }
}
