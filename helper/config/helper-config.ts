// The helper's configuration: its environment, read once, checked whole, frozen.
import { createHash } from "node:crypto";
import { EnvironmentReader, matching, oneOf, several } from "./environment-reader.ts";
import { helperPort, type HelperVariable } from "../shared/environment.ts";
import { formats, levels, type Format, type Level } from "../shared/log-options.ts";
import {
  hostWithOptionalPort,
  basicAuthNames,
  identities,
  labelValue,
  namespaceName,
  namespacePattern,
  objectName,
  regionsOf,
  registryHost,
} from "../shared/names.ts";
import { parseSelector, type NamespaceRules } from "../shared/namespace-rules.ts";

export interface Registry {
  /** The registry's host, `ACCOUNT.dkr.ecr.REGION.SUFFIX`. */
  readonly host: string;
  readonly region: string;
}

/** A token that is asked for. */
export interface TokenRequest {
  readonly region: string;
  /** The ARN of the role that asks; undefined where the helper asks as itself. */
  readonly role: string | undefined;
  /** What it is for: where nothing is pushed, builds have the one for pulls. */
  readonly login: "pull" | "push";
}

export interface HelperConfig extends NamespaceRules {
  /** The registries whose credentials are kept; the first one is the stack's own. */
  readonly registries: readonly Registry[];
  /** A further host under which the stack's own registry is reached. */
  readonly registryHost: string | undefined;
  /** The secrets builds log in with, by the region whose registries they are for; the stack's own region comes first. */
  readonly basicAuthSecrets: ReadonlyMap<string, string>;
  readonly pullSecret: string;
  /** The names of all secrets that are kept in a build namespace. */
  readonly secretNames: readonly string[];
  /** Those that are kept in the helper's own: each token is in one of them, so that the next helper finds it. */
  readonly ownSecretNames: readonly string[];
  /** By the names that tokens have here and in the log. */
  readonly tokenRequests: ReadonlyMap<string, TokenRequest>;
  /** The ARN of the role that asks for the logins of builds; undefined where nothing is pushed. */
  readonly pushRole: string | undefined;
  readonly serviceAccount: string;
  /** Where the helper itself runs; its own image is pulled with the pull secret there. */
  readonly namespace: string;
  readonly pod: string;
  readonly deployment: string;
  /** How the helper proves who it is to AWS. */
  readonly identity: (typeof identities)[number];
  /** Who that is: the user's name or the role's ARN; empty where the stack does not know it. */
  readonly principal: string;
  /** Of both and the key: tokens that another one asked for may end with it. */
  readonly fingerprint: string;
  /** The same of the role that pushes. */
  readonly pushFingerprint: string;
  /** The cluster-scoped object that owns what the helper creates, so that it goes with the stack. */
  readonly owner: { readonly name: string; readonly uid: string };
  /** The ClusterRole by whose absence a helper that ends knows that the stack is being destroyed. */
  readonly marker: string;
  readonly logFormat: Format;
  readonly logLevel: Level;
  /** Port of /healthz, /readyz and /metrics. */
  readonly port: number;
}

/** Reads the configuration. Throws one error that names every mistake: the variable, its value, what it should be. */
export function readConfig(env: Readonly<Record<string, string | undefined>>): HelperConfig {
  const reader = new EnvironmentReader(env);
  const { read } = reader;
  const parseRegistry = (value: string): Registry | undefined => {
    const region = registryHost.exec(value)?.[1];
    return region === undefined ? undefined : Object.freeze({ host: value, region });
  };
  const name = "a name of a Kubernetes object";

  const namespaces = several(matching(namespacePattern));
  const parseRegistries = (value: string): readonly Registry[] | undefined =>
    /^,*$/.test(value) ? undefined : several(parseRegistry)(value);

  const registries = read(
    "ECR_HELPER_REGISTRIES",
    "hosts ACCOUNT.dkr.ecr.REGION.SUFFIX, comma-separated",
    parseRegistries,
  );
  const basicAuthSecret = read("ECR_HELPER_BASIC_AUTH_SECRET", name, matching(objectName), "ecr-creds");
  const basicAuthSecrets = basicAuthNames(basicAuthSecret, regionsOf((env["ECR_HELPER_REGISTRIES"] ?? "").split(",")));
  const pullSecret = read("ECR_HELPER_PULL_SECRET", name, matching(objectName), "ecr-creds-pull");
  const logins = [...basicAuthSecrets.values()];
  if (isName(basicAuthSecret) && !logins.every(isName)) {
    const shorter = "a shorter name: each further region is put after it";
    reader.mistake("ECR_HELPER_BASIC_AUTH_SECRET", basicAuthSecret, shorter);
  }
  if (isName(pullSecret) && logins.includes(pullSecret)) {
    reader.mistake("ECR_HELPER_PULL_SECRET", pullSecret, "another name: a login for builds has this one");
  }

  const pushRole = read("ECR_HELPER_PUSH_ROLE", "nothing, or the ARN of a role", matching(/^[!-~]*$/)) || undefined;

  const config: HelperConfig = {
    registries,
    registryHost:
      read("ECR_HELPER_REGISTRY_HOST", "nothing, or HOST or HOST:PORT", (value) =>
        value === "" || hostWithOptionalPort.test(value) ? value : undefined,
      ) || undefined,
    buildNamespaces: read(
      "ECR_HELPER_BUILD_NAMESPACES",
      "names or patterns of namespaces, comma-separated",
      namespaces,
    ),
    excludeNamespaces: read(
      "ECR_HELPER_EXCLUDE_NAMESPACES",
      "names or patterns of namespaces, comma-separated",
      namespaces,
    ),
    namespaceSelector: read("ECR_HELPER_NAMESPACE_SELECTOR", "a label selector", parsedSelector),
    basicAuthSecrets,
    pullSecret,
    secretNames: [...logins, pullSecret],
    ownSecretNames: [...(pushRole === undefined ? [] : logins), pullSecret],
    tokenRequests: tokenRequests([...basicAuthSecrets.keys()], pushRole),
    pushRole,
    serviceAccount: read("ECR_HELPER_SERVICE_ACCOUNT", name, matching(objectName), "builder-sa"),
    namespace: read("ECR_HELPER_NAMESPACE", "the helper's own namespace", matching(namespaceName)),
    pod: read("ECR_HELPER_POD", "the helper's own pod", matching(objectName)),
    deployment: read("ECR_HELPER_DEPLOYMENT", "the helper's own Deployment", matching(objectName), "ecr-helper"),
    identity: read("ECR_HELPER_IDENTITY", identities.join(", "), oneOf(identities), "accessKey"),
    principal: read(
      "ECR_HELPER_PRINCIPAL",
      "nothing, or the name of an IAM user, or the ARN of a role",
      matching(/^[!-~]*$/),
    ),
    fingerprint: fingerprint(env, identityVariables),
    pushFingerprint: fingerprint(env, [...identityVariables, "ECR_HELPER_PUSH_ROLE"]),
    owner: {
      name: read(
        "ECR_HELPER_OWNER_NAME",
        "the name of the ClusterRole that owns what the helper creates",
        matching(labelValue),
      ),
      uid: read(
        "ECR_HELPER_OWNER_UID",
        "the uid of that ClusterRole",
        matching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      ),
    },
    marker: read(
      "ECR_HELPER_MARKER",
      "the name of the ClusterRole that stands as long as the stack does",
      matching(objectName),
    ),
    logFormat: read("ECR_HELPER_LOG_FORMAT", formats.join(" or "), oneOf(formats), "text"),
    logLevel: read("ECR_HELPER_LOG_LEVEL", levels.join(", "), oneOf(levels), "info"),
    port: read(
      "ECR_HELPER_PORT",
      "a port, 0 for any free one",
      (value) => (/^\d{1,5}$/.test(value) && Number(value) < 65536 ? Number(value) : undefined),
      String(helperPort),
    ),
  };
  reader.throwMistakes();
  return Object.freeze(config);
}

/** Whether a value is there, after a mistake it is not, and is a name. */
const isName = (value: string | undefined): boolean => value !== undefined && objectName.test(value);

function parsedSelector(value: string): string | undefined {
  try {
    if (value !== "") parseSelector(value);
    return value;
  } catch {
    return undefined; // The mistake that is told names the value.
  }
}

const identityVariables = ["ECR_HELPER_IDENTITY", "ECR_HELPER_PRINCIPAL", "AWS_ACCESS_KEY_ID"] as const;

function fingerprint(
  env: Readonly<Record<string, string | undefined>>,
  variables: readonly (HelperVariable | "AWS_ACCESS_KEY_ID")[],
): string {
  const known = variables.map((name) => env[name]);
  return createHash("sha256").update(JSON.stringify(known)).digest("hex").slice(0, 16);
}

/** The name of a region's token for pulls is the region itself. */
export const pushTokenName = (region: string): string => `${region} (push)`;

function tokenRequests(regions: readonly string[], pushRole: string | undefined): ReadonlyMap<string, TokenRequest> {
  const pulls = regions.map((region) => [region, { region, role: undefined, login: "pull" }] as const);
  const pushes = regions.map((region) => [pushTokenName(region), { region, role: pushRole, login: "push" }] as const);
  return new Map<string, TokenRequest>(pushRole === undefined ? pulls : [...pulls, ...pushes]);
}
