// The environment variables that configure the helper: infra/pod.ts sets them, helper/config/helper-config.ts reads them.

/**
 * A list as JSON for a variable of a pod; empty for an empty list. It has no `$`: Kubernetes makes one of two, and puts other variables in
 * for `$(NAME)`. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables
 */
export const encodeList = (list: readonly object[]): string =>
  list.length === 0 ? "" : JSON.stringify(list).replaceAll("$", "\\u0024");

/** The list that `encodeList` made this value of; undefined for anything but a list of such items. */
export function parseList<T>(value: string, isItem: (item: unknown) => item is T): readonly T[] | undefined {
  try {
    const parsed: unknown = value === "" ? [] : JSON.parse(value);
    return Array.isArray(parsed) && parsed.every(isItem) ? parsed : undefined;
  } catch {
    return undefined; // Not JSON: the caller adds the mistake.
  }
}

/** The variables that the stack sets to values. A list is comma-separated, further secrets, roles and groups are JSON; what is not configured is empty. */
export type StackVariable =
  | "ECR_HELPER_IDENTITY"
  | "ECR_HELPER_PRINCIPAL"
  | "ECR_HELPER_PUSH_ROLE"
  | "ECR_HELPER_REGISTRIES"
  | "ECR_HELPER_REGISTRY_ROLES"
  | "ECR_HELPER_GROUPS"
  | "ECR_HELPER_REGISTRY_HOST"
  | "ECR_HELPER_PROXY"
  | "ECR_HELPER_NO_PROXY"
  | "ECR_HELPER_CA_FILE"
  | "ECR_HELPER_BUILD_NAMESPACES"
  | "ECR_HELPER_EXCLUDE_NAMESPACES"
  | "ECR_HELPER_NAMESPACE_SELECTOR"
  | "ECR_HELPER_BASIC_AUTH_SECRET"
  | "ECR_HELPER_PULL_SECRET"
  | "ECR_HELPER_SECRETS"
  | "ECR_HELPER_SERVICE_ACCOUNTS"
  | "ECR_HELPER_SERVICE_ACCOUNT_SELECTOR"
  | "ECR_HELPER_DEPLOYMENT"
  | "ECR_HELPER_OWNER_NAME"
  | "ECR_HELPER_MARKER"
  | "ECR_HELPER_LOG_FORMAT"
  | "ECR_HELPER_LOG_LEVEL"
  | "ECR_HELPER_PORT";

/** The variables that Kubernetes sets to fields of the pod: https://kubernetes.io/docs/concepts/workloads/pods/downward-api/ */
export const podVariables = {
  ECR_HELPER_NAMESPACE: "metadata.namespace",
  ECR_HELPER_POD: "metadata.name",
  ECR_HELPER_TEMPLATE: "metadata.labels['pod-template-hash']",
} as const;

/** Every variable of the helper. */
export type HelperVariable = StackVariable | keyof typeof podVariables;

/** The port of /healthz, /readyz and /metrics; helper/Dockerfile exposes it. */
export const helperPort = 8080;
