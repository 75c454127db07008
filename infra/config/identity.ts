// Reads the helper's AWS identity and the IAM options. Each identity has its own keys: a missing key is a mistake, and
// so is a key that only another identity uses.
import { identities } from "../../helper/shared/names.ts";
import { entityName, iamPath, issuerUrl, oidcProviderArn, policyArn, principal, tag } from "./aws-names.ts";
import type { Registry } from "../registry.ts";
import { rejectOtherPartitions } from "./partition.ts";
import type { ConfigReader } from "./reader.ts";

/**
 * How to find the cluster's OIDC provider: by its issuer's URL, by its own ARN, or through EKS, which knows the issuer.
 */
export type OidcSource = { readonly issuer: string } | { readonly providerArn: string } | "eks";

/** How the helper authenticates to AWS. */
export type IdentityConfig =
  | {
      readonly mode: "accessKey";
      readonly userName: string;
      /** A higher number creates a new key. The old one is deleted once everything uses the new one. */
      readonly generation: number;
    }
  | {
      readonly mode: "irsa";
      readonly roleName: string;
      readonly oidc: OidcSource;
      /** Whether the stack creates the provider in IAM, rather than using an existing one. */
      readonly createProvider: boolean;
    }
  | { readonly mode: "podIdentity"; readonly roleName: string }
  | {
      readonly mode: "kube2iam";
      readonly roleName: string;
      /** Principals that may assume the role, usually the nodes' role, as ARNs or account ids. */
      readonly trustedPrincipals: readonly string[];
    }
  | { readonly mode: "node" };

/** Options for the IAM resources that the stack creates. */
export interface IamOptions {
  /** Path of the policies, the user and the roles: `/` or `/SOME/PATH/`. */
  readonly path: string | undefined;
  /** ARN of the policy that is the permissions boundary of the user and the roles. */
  readonly permissionsBoundary: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
}

/** Names of a role that the helper assumes and of its policy: those of its own role and policy with a suffix. */
export interface AssumedRoleConfig {
  readonly roleName: string;
  readonly policyName: string;
}

/** Keys that only one identity uses. */
const identityOfKey: Readonly<Record<string, (typeof identities)[number]>> = {
  oidcIssuer: "irsa",
  oidcProviderArn: "irsa",
  createOidcProvider: "irsa",
  trustedPrincipals: "kube2iam",
};

/** Reads the identity. `hasEksCluster` says whether the cluster is configured by its name in EKS. */
export function readIdentity(config: ConfigReader, hasEksCluster: boolean, own: Registry): IdentityConfig {
  const name = "1 to 64 letters, digits or +=,.@_-";
  const mode = config.oneOf("identity", identities);
  const userName = config.string("userName", entityName, name);
  const roleName = config.string("roleName", entityName, name);
  const generation = Number(config.string("accessKeyGeneration", /^[1-9]\d{0,8}$/, "a whole number from 1"));
  const oidc = readOidc(config, mode === "irsa", hasEksCluster, own);
  const principals = "ARNs of IAM roles or users, or account ids of 12 digits";
  const trustedPrincipals = config.strings("trustedPrincipals", principal, principals);
  rejectUnusedKeys(config, mode);
  switch (mode) {
    case "irsa":
      return { mode, roleName, ...oidc };
    case "podIdentity":
      if (!hasEksCluster) {
        config.addMistake("eksCluster", "", "the name of the EKS cluster: identity podIdentity is a part of EKS");
      }
      return { mode, roleName };
    case "kube2iam":
      if (trustedPrincipals.length === 0) {
        config.addMistake("trustedPrincipals", "[]", `the nodes' role for identity kube2iam: ${principals}`);
      }
      rejectOtherPartitions(
        config,
        { key: "trustedPrincipals", what: "a principal", pattern: principal },
        trustedPrincipals,
        own,
      );
      return { mode, roleName, trustedPrincipals };
    case "node":
      return { mode };
    default:
      return { mode, userName, generation };
  }
}

/** Reports keys that the identity does not use. For an unknown identity it cannot tell. */
function rejectUnusedKeys(config: ConfigReader, mode: string): void {
  if (!identities.some((one) => one === mode)) return;
  for (const [key, one] of Object.entries(identityOfKey)) {
    const value = config.explicitValue(key);
    if (value !== undefined && mode !== one) {
      config.addMistake(key, value, `nothing: identity ${one} alone has a use for it, and identity is ${mode}`);
    }
  }
}

function readOidc(
  config: ConfigReader,
  isUsed: boolean,
  hasEksCluster: boolean,
  own: Registry,
): { oidc: OidcSource; createProvider: boolean } {
  const issuer = config.optional("oidcIssuer", issuerUrl, "https://HOST[/PATH], the issuer of the cluster's tokens");
  const arn = "arn:PARTITION:iam::ACCOUNT:oidc-provider/ISSUER";
  const providerArn = config.optional("oidcProviderArn", oidcProviderArn, arn);
  const createProvider = config.boolean("createOidcProvider");
  const mistake = (key: string, value: string, expected: string): void => {
    if (isUsed) config.addMistake(key, value, expected);
  };
  if (isUsed) {
    const key = { key: "oidcProviderArn", what: "a provider", pattern: oidcProviderArn };
    rejectOtherPartitions(config, key, [providerArn], own);
  }
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

/** Reads the names for the role that pushes. They apply to every identity. */
export const readPushRole = (config: ConfigReader): AssumedRoleConfig =>
  readAssumedRole(config, "-push", "where pushRepositories says that something is pushed");

/** Reads the names for a role; `when` says when the suffix is put after the names. */
export function readAssumedRole(config: ConfigReader, suffix: string, when: string): AssumedRoleConfig {
  const read = (key: string, limit: number): string => {
    const name = config.string(key, /^/, "a name");
    const isLong = name.length <= limit && name.length + suffix.length > limit;
    const why = `${suffix} is put after it ${when}`;
    if (isLong) config.addMistake(key, name, `at most ${String(limit - suffix.length)} characters: ${why}`);
    return `${name}${suffix}`;
  };
  return { roleName: read("roleName", 64), policyName: read("policyName", 128) };
}

/** The most tags that AWS allows on a resource. */
const maxTags = 50;

/** Reads the IAM path, the permissions boundary and the tags. */
export function readIamOptions(config: ConfigReader, own: Registry): IamOptions {
  const boundary = config.optional("permissionsBoundary", policyArn, "arn:PARTITION:iam::ACCOUNT:policy/NAME");
  const key = { key: "permissionsBoundary", what: "a policy", pattern: policyArn };
  rejectOtherPartitions(config, key, [boundary], own);
  const hasNoIamEntity =
    config.explicitValue("identity") === "node" && config.explicitValue("pushRepositories") === undefined;
  if (boundary !== undefined && hasNoIamEntity) {
    config.addMistake("permissionsBoundary", boundary, "nothing: identity node makes neither a user nor a role");
  }
  const tags = config.strings("tags", tag, "KEY=VALUE, with a KEY that does not start with aws: and is not __proto__");
  const pairs = tags
    .filter((tag) => tag.includes("="))
    .map((tag) => [tag.slice(0, tag.indexOf("=")), tag.slice(tag.indexOf("=") + 1)] as const);
  const keys = pairs.map(([key]) => key);
  if (tags.length > maxTags) config.addListMistake("tags", tags, `at most ${String(maxTags)} tags`);
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice !== undefined) config.addMistake("tags", twice, "each KEY once");
  return {
    path: config.optional("path", iamPath, "/ or /PATH/, with a slash at both ends"),
    permissionsBoundary: boundary,
    tags: Object.fromEntries(pairs),
  };
}
