// The configuration of the AWS provider (@pulumi/aws provider.d.ts), as far as this stand-in supports it.
import type { CheckFailure } from "../schema.ts";
import { isObject, type Properties } from "../values.ts";

/** The parsed configuration. */
export interface AwsConfig {
  readonly region: string;
  /** Undefined where they come from the environment. */
  readonly credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | undefined;
  readonly profile: string | undefined;
  /** The roles to assume, each by the one before it. */
  readonly roles: readonly AssumedRole[];
  /** The URLs of endpoints by service, such as `ecr`. */
  readonly endpoints: Readonly<Record<string, string>>;
  readonly stsRegion: string | undefined;
  readonly maxAttempts: number | undefined;
  readonly useFipsEndpoint: boolean;
  readonly useDualstackEndpoint: boolean;
  readonly defaultTags: Readonly<Record<string, string>>;
  readonly ignoreTags: { readonly keys: readonly string[]; readonly keyPrefixes: readonly string[] };
  readonly skipCredentialsValidation: boolean;
  readonly allowedAccountIds: readonly string[];
  readonly forbiddenAccountIds: readonly string[];
}

/** A role that the provider assumes. */
export interface AssumedRole {
  readonly roleArn: string;
  readonly sessionName?: string;
  readonly externalId?: string;
}

const carriedOut = [
  ...["accessKey", "secretKey", "token", "region", "profile", "endpoints", "stsRegion", "maxRetries"],
  ...["useFipsEndpoint", "useDualstackEndpoint", "defaultTags", "ignoreTags", "skipCredentialsValidation"],
  ...["allowedAccountIds", "forbiddenAccountIds", "assumeRoles"],
];

/** Keys without an effect here: those of checks that are not made, and of services that are not used. */
const withoutEffect = [
  ...["skipMetadataApiCheck", "skipRegionValidation", "skipRequestingAccountId"],
  ...["s3UsePathStyle", "s3UsEast1RegionalEndpoint", "userAgents"],
];

/** Keys that are refused and not ignored silently. */
const unsupported = [
  ...["assumeRoleWithWebIdentity", "customCaBundle", "ec2MetadataServiceEndpoint"],
  ...["ec2MetadataServiceEndpointMode", "httpProxy", "httpsProxy", "insecure", "noProxy", "retryMode"],
  ...["sharedConfigFiles", "sharedCredentialsFiles", "tagPolicyCompliance", "tokenBucketRateLimiterCapacity"],
];

const services = ["ecr", "eks", "iam", "sts"];

const environmentRegion = (): string | undefined => process.env["AWS_REGION"] ?? process.env["AWS_DEFAULT_REGION"];

/** The failures in a configuration, as in validateProviderConfig of the bridge and in pulumi-aws' own check of the region. */
export function configFailures(config: Properties): CheckFailure[] {
  const failures = Object.entries(config).flatMap(([property, value]): CheckFailure[] => {
    if (unsupported.includes(property)) {
      return isEmptyList(value) ? [] : [{ property, reason: `this stand-in does not carry out aws:${property}` }];
    }
    if (carriedOut.includes(property) || withoutEffect.includes(property)) return [];
    const reason = `could not validate provider configuration: Invalid or unknown key. Check \`pulumi config get aws:${property}\`.`;
    return [{ property, reason }];
  });
  if ((config["region"] ?? environmentRegion()) === undefined) {
    const reason =
      "Missing region information\n" +
      "Make sure you have set your AWS region, e.g. `pulumi config set aws:region us-west-2`.";
    failures.push({ property: "region", reason });
  }
  if ((config["accessKey"] === undefined) !== (config["secretKey"] === undefined)) {
    const property = config["accessKey"] === undefined ? "accessKey" : "secretKey";
    failures.push({ property, reason: "accessKey and secretKey are only of use together" });
  }
  return [...failures, ...endpointFailures(config)];
}

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;

function endpointFailures({ endpoints = [] }: Properties): CheckFailure[] {
  const property = "endpoints";
  if (!Array.isArray(endpoints) || !endpoints.every(isObject))
    return [{ property, reason: "expected list of objects" }];
  return endpoints
    .flatMap((one) => Object.keys(one))
    .filter((service) => !services.includes(service))
    .map((service) => ({ property, reason: `this stand-in does not use the service ${service}` }));
}

/** Parses a configuration without failures. */
export function readConfig(config: Properties): AwsConfig {
  const text = (key: string): string | undefined => {
    const value = config[key];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const list = (key: string): string[] => (config[key] ?? []) as string[];
  // Retries come after the first attempt.
  const retries = config["maxRetries"] === undefined ? undefined : Number(config["maxRetries"]);
  return Object.freeze({
    region: text("region") ?? environmentRegion() ?? "",
    credentials: credentialsOf(text),
    profile: text("profile"),
    roles: (config["assumeRoles"] ?? []) as AssumedRole[],
    endpoints: Object.assign({}, ...((config["endpoints"] ?? []) as Tags[])) as Tags,
    stsRegion: text("stsRegion"),
    maxAttempts: retries === undefined ? undefined : retries + 1,
    useFipsEndpoint: config["useFipsEndpoint"] === true,
    useDualstackEndpoint: config["useDualstackEndpoint"] === true,
    ...tagRules(config),
    skipCredentialsValidation: config["skipCredentialsValidation"] === true,
    allowedAccountIds: list("allowedAccountIds"),
    forbiddenAccountIds: list("forbiddenAccountIds"),
  });
}

function credentialsOf(text: (key: string) => string | undefined): AwsConfig["credentials"] {
  const [accessKeyId, secretAccessKey, sessionToken] = [text("accessKey"), text("secretKey"), text("token")];
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function tagRules(config: Properties): Pick<AwsConfig, "defaultTags" | "ignoreTags"> {
  const { tags = {} } = (config["defaultTags"] ?? {}) as { tags?: Tags };
  const { keys = [], keyPrefixes = [] } = (config["ignoreTags"] ?? {}) as { keys?: string[]; keyPrefixes?: string[] };
  return { defaultTags: tags, ignoreTags: { keys, keyPrefixes } };
}

type Tags = Record<string, string>;
