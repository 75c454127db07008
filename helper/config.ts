// The helper's configuration: its environment, read once, checked whole, frozen.
import { formats, levels, type Format, type Level } from "./log.ts";

export interface Registry {
  /** The registry's host, `ACCOUNT.dkr.ecr.REGION.SUFFIX`. */
  readonly host: string;
  readonly region: string;
}

export interface HelperConfig {
  /** The registries whose credentials are kept; the first one is the stack's own. */
  readonly registries: readonly Registry[];
  /** A further host under which the stack's own registry is reached. */
  readonly registryHost: string | undefined;
  readonly buildNamespaces: readonly string[];
  readonly basicAuthSecret: string;
  readonly pullSecret: string;
  readonly serviceAccount: string;
  /** Where the helper itself runs; its own image is pulled with the pull secret there. */
  readonly namespace: string;
  readonly pod: string;
  /** The cluster-scoped object that owns what the helper creates, so that it goes with the stack. */
  readonly owner: { readonly name: string; readonly uid: string };
  readonly logFormat: Format;
  readonly logLevel: Level;
  /** Port of /healthz and /readyz. */
  readonly port: number;
}

/** A name that Kubernetes takes for a namespace (RFC 1123 label). */
const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** A name that Kubernetes takes for a secret or a service account (RFC 1123 subdomain). */
const subdomain = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const registryHost = /^\d{12}\.dkr\.ecr\.([a-z]{2}(?:-[a-z]+)+-\d+)\.[a-z0-9.-]+$/;
const host = /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?(:\d{1,5})?$/;

/** Reads the configuration. Throws one error that names every mistake: the variable, its value, what it should be. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): HelperConfig {
  const mistakes: string[] = [];
  const read = <T>(name: string, expected: string, parse: (value: string) => T | undefined, fallback?: string): T => {
    const value = env[name] ?? fallback ?? "";
    const parsed = parse(value);
    if (parsed === undefined) mistakes.push(`${name}=${JSON.stringify(value)}: expected ${expected}`);
    // A mistake is thrown below, before anybody sees the undefined.
    return parsed as T;
  };
  const matching = (pattern: RegExp) => (value: string) => (pattern.test(value) ? value : undefined);
  const oneOf =
    <T extends string>(allowed: readonly T[]) =>
    (value: string) =>
      allowed.find((one) => one === value);
  const several =
    <T>(parse: (value: string) => T | undefined) =>
    (value: string) => {
      const parsed = [...new Set(value.split(","))].map(parse);
      return parsed.includes(undefined) ? undefined : (parsed as T[]);
    };
  const parseRegistry = (value: string): Registry | undefined => {
    const region = registryHost.exec(value)?.[1];
    return region === undefined ? undefined : Object.freeze({ host: value, region });
  };
  const name = "a name of a Kubernetes object";

  const config: HelperConfig = {
    registries: read(
      "ECR_HELPER_REGISTRIES",
      "hosts ACCOUNT.dkr.ecr.REGION.SUFFIX, comma-separated",
      several(parseRegistry),
    ),
    registryHost:
      read("ECR_HELPER_REGISTRY_HOST", "nothing, or HOST or HOST:PORT", matching(new RegExp(`^$|${host.source}`))) ||
      undefined,
    buildNamespaces: read(
      "ECR_HELPER_BUILD_NAMESPACES",
      "names of namespaces, comma-separated",
      several(matching(label)),
    ),
    basicAuthSecret: read("ECR_HELPER_BASIC_AUTH_SECRET", name, matching(subdomain), "ecr-creds"),
    pullSecret: read("ECR_HELPER_PULL_SECRET", name, matching(subdomain), "ecr-creds-pull"),
    serviceAccount: read("ECR_HELPER_SERVICE_ACCOUNT", name, matching(subdomain), "builder-sa"),
    namespace: read("ECR_HELPER_NAMESPACE", "the helper's own namespace", matching(label)),
    pod: read("ECR_HELPER_POD", "the helper's own pod", matching(subdomain)),
    owner: {
      name: read(
        "ECR_HELPER_OWNER_NAME",
        "the name of the ClusterRole that owns what the helper creates",
        matching(/./),
      ),
      uid: read("ECR_HELPER_OWNER_UID", "the uid of that ClusterRole", matching(/^[-0-9a-f]{36}$/)),
    },
    logFormat: read("ECR_HELPER_LOG_FORMAT", formats.join(" or "), oneOf(formats), "text"),
    logLevel: read("ECR_HELPER_LOG_LEVEL", levels.join(", "), oneOf(levels), "info"),
    port: read(
      "ECR_HELPER_PORT",
      "a port, 0 for any free one",
      (value) => (/^\d{1,5}$/.test(value) && Number(value) < 65536 ? Number(value) : undefined),
      "8080",
    ),
  };
  if (mistakes.length > 0) throw new Error(`The helper's environment is wrong:\n  ${mistakes.join("\n  ")}`);
  return Object.freeze(config);
}
