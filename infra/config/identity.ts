// The part of the configuration that says who the helper is to AWS. Each identity has keys of its own: one that is missing
// is a mistake, and so is one that another identity would use.
import { identities } from "../../helper/shared/names.ts";
import { entityName, iamPath, issuerUrl, oidcProviderArn, policyArn, principal, tag } from "./aws-names.ts";
import type { ConfigReader } from "./reader.ts";

/** Where the OIDC provider of a cluster is found: its issuer's URL, the provider's ARN, or EKS, which knows the issuer. */
export type OidcSource = { readonly issuer: string } | { readonly providerArn: string } | "eks";

export type IdentityConfig =
  | {
      readonly mode: "accessKey";
      readonly userName: string;
      /** A higher one makes a new key; the old one goes when everything uses the new one. */
      readonly generation: number;
    }
  | {
      readonly mode: "irsa";
      readonly roleName: string;
      readonly oidc: OidcSource;
      /** Whether the stack makes the provider in IAM; else it is there already. */
      readonly createProvider: boolean;
    }
  | { readonly mode: "podIdentity"; readonly roleName: string }
  | {
      readonly mode: "kube2iam";
      readonly roleName: string;
      /** Who may assume the role, as ARNs or account ids: the nodes' role. */
      readonly trustedPrincipals: readonly string[];
    }
  | { readonly mode: "node" };

/** What users of IAM put on whatever they create. */
export interface IamOptions {
  /** `/` or `/SOME/PATH/`, of the policy, the user or the role. */
  readonly path: string | undefined;
  /** ARN of a policy that limits the user or the role, whatever else it is allowed. */
  readonly permissionsBoundary: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
}

/** The role that pushes, and its policy: of the names of the helper's own. */
export interface PushRoleConfig {
  readonly roleName: string;
  readonly policyName: string;
}

/** Which identity uses a key that has no meaning for the others. */
const usedBy: Readonly<Record<string, (typeof identities)[number]>> = {
  oidcIssuer: "irsa",
  oidcProviderArn: "irsa",
  createOidcProvider: "irsa",
  trustedPrincipals: "kube2iam",
};

/** Reads the identity; `hasEksCluster` says whether the cluster is named as one of EKS. */
export function readIdentity(config: ConfigReader, hasEksCluster: boolean): IdentityConfig {
  const name = "1 to 64 letters, digits or +=,.@_-";
  const mode = config.oneOf("identity", identities);
  const userName = config.string("userName", entityName, name);
  const roleName = config.string("roleName", entityName, name);
  const generation = Number(config.string("accessKeyGeneration", /^[1-9]\d{0,8}$/, "a whole number from 1"));
  const oidc = readOidc(config, mode === "irsa", hasEksCluster);
  const principals = "ARNs of IAM roles or users, or account ids of 12 digits";
  const trustedPrincipals = config.strings("trustedPrincipals", principal, principals);
  rejectUnusedKeys(config, mode);
  switch (mode) {
    case "irsa":
      return { mode, roleName, ...oidc };
    case "podIdentity":
      if (!hasEksCluster) {
        config.mistake("eksCluster", "", "the name of the EKS cluster: identity podIdentity is a part of EKS");
      }
      return { mode, roleName };
    case "kube2iam":
      if (trustedPrincipals.length === 0) {
        config.mistake("trustedPrincipals", "[]", `the nodes' role for identity kube2iam: ${principals}`);
      }
      return { mode, roleName, trustedPrincipals };
    case "node":
      return { mode };
    default:
      return { mode, userName, generation };
  }
}

/** Of an identity that there is not, nobody knows what it has a use for. */
function rejectUnusedKeys(config: ConfigReader, mode: string): void {
  if (!identities.some((one) => one === mode)) return;
  for (const [key, one] of Object.entries(usedBy)) {
    const value = config.explicitValue(key);
    if (value !== undefined && mode !== one) {
      config.mistake(key, value, `nothing: identity ${one} alone has a use for it, and identity is ${mode}`);
    }
  }
}

function readOidc(
  config: ConfigReader,
  isUsed: boolean,
  hasEksCluster: boolean,
): { oidc: OidcSource; createProvider: boolean } {
  const issuer = config.optional("oidcIssuer", issuerUrl, "https://HOST[/PATH], the issuer of the cluster's tokens");
  const arn = "arn:PARTITION:iam::ACCOUNT:oidc-provider/ISSUER";
  const providerArn = config.optional("oidcProviderArn", oidcProviderArn, arn);
  const createProvider = config.boolean("createOidcProvider");
  const mistake = (key: string, value: string, expected: string): void => {
    if (isUsed) config.mistake(key, value, expected);
  };
  if (providerArn !== undefined) {
    if (issuer !== undefined) mistake("oidcProviderArn", providerArn, "nothing, as oidcIssuer names the provider too");
    if (createProvider)
      mistake("createOidcProvider", "true", "false, as oidcProviderArn says that the provider is there");
    return { oidc: { providerArn }, createProvider };
  }
  if (issuer !== undefined) return { oidc: { issuer }, createProvider };
  if (!hasEksCluster) {
    mistake("oidcIssuer", "", "the issuer of the cluster's tokens, or oidcProviderArn, or eksCluster, which knows it");
  }
  return { oidc: "eks", createProvider };
}

const pushSuffix = "-push";

/** Reads the names of what pushes, whatever the identity is. */
export function readPushRole(config: ConfigReader): PushRoleConfig {
  const read = (key: string, limit: number): string => {
    const name = config.string(key, /^/, "a name");
    const isLong = name.length <= limit && name.length + pushSuffix.length > limit;
    const why = `${pushSuffix} is put after it where pushRepositories says that something is pushed`;
    if (isLong) config.mistake(key, name, `at most ${String(limit - pushSuffix.length)} characters: ${why}`);
    return `${name}${pushSuffix}`;
  };
  return { roleName: read("roleName", 64), policyName: read("policyName", 128) };
}

/** AWS takes no more on anything. */
const maxTags = 50;

export function readIamOptions(config: ConfigReader): IamOptions {
  const boundary = config.optional("permissionsBoundary", policyArn, "arn:PARTITION:iam::ACCOUNT:policy/NAME");
  const makesNobody =
    config.explicitValue("identity") === "node" && config.explicitValue("pushRepositories") === undefined;
  if (boundary !== undefined && makesNobody) {
    config.mistake("permissionsBoundary", boundary, "nothing: identity node makes neither a user nor a role");
  }
  const tags = config.strings("tags", tag, "KEY=VALUE, with a KEY that does not start with aws: and is not __proto__");
  const pairs = tags
    .filter((tag) => tag.includes("="))
    .map((tag) => [tag.slice(0, tag.indexOf("=")), tag.slice(tag.indexOf("=") + 1)] as const);
  const keys = pairs.map(([key]) => key);
  if (tags.length > maxTags) config.mistakeOfList("tags", tags, `at most ${String(maxTags)} tags`);
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice !== undefined) config.mistake("tags", twice, "each KEY once");
  return {
    path: config.optional("path", iamPath, "/ or /PATH/, with a slash at both ends"),
    permissionsBoundary: boundary,
    tags: Object.fromEntries(pairs),
  };
}
