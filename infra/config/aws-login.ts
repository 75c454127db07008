// Reads how the AWS provider authenticates (the keys `aws:`), for the AWS CLI that has to authenticate the same way.
import type { ConfigReader } from "./reader.ts";

/** What makes `aws eks get-token` use the credentials that the AWS provider uses. */
export interface AwsLogin {
  /** Arguments of the command. They may be secret, as any value of the configuration. */
  readonly args: readonly string[];
  /** Environment variables on top of those that are set. They may be secret. */
  readonly env: Readonly<Record<string, string>>;
}

const useProfile =
  "Put it in a profile of the shared AWS config (role_arn, source_profile, external_id, role_session_name, " +
  "web_identity_token_file), and set aws:profile to that";

/** Settings of the way to AWS that the CLI knows as a variable: https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html */
const variables = {
  customCaBundle: "AWS_CA_BUNDLE",
  httpProxy: "HTTP_PROXY",
  httpsProxy: "HTTPS_PROXY",
  noProxy: "NO_PROXY",
} as const;

/** Reads the login, and collects the mistakes: what the AWS provider can do and the AWS CLI cannot. */
export function readAwsLogin(config: ConfigReader): AwsLogin {
  const way = Object.entries(variables).flatMap(([key, variable]) => {
    const value = config.ofAws(key);
    return value === undefined ? [] : [[variable, value]];
  });
  const files = { ...readFile(config, "sharedConfigFiles"), ...readFile(config, "sharedCredentialsFiles") };
  const keys = readKeys(config);
  const profile = config.ofAws("profile");
  if (config.ofAws("assumeRoleWithWebIdentity") !== undefined) {
    addMistake(config, "assumeRoleWithWebIdentity", "not to be set", useProfile);
  }
  return {
    args: [
      // By AWS_PROFILE the CLI would prefer keys in the environment, which the provider then ignores. Keys in the
      // configuration precede the profile in the provider, and the argument would precede them in the CLI.
      ...(profile === undefined || keys !== undefined ? [] : ["--profile", profile]),
      ...readRole(config),
    ],
    env: { ...(Object.fromEntries(way) as Record<string, string>), ...files, ...keys },
  };
}

/** No value is shown: it is a secret, or does not matter. */
const addMistake = (config: ConfigReader, key: string, expected: string, remedy: string): void =>
  config.addError(
    `aws:${key}: expected ${expected} with eksCluster, as \`aws eks get-token\` cannot use it. ` +
      `${remedy}, or set kubeconfig instead of eksCluster`,
  );

function readKeys(config: ConfigReader): Record<string, string> | undefined {
  const [key, secret] = [config.ofAws("accessKey"), config.ofAws("secretKey")];
  // The provider refuses one without the other.
  if (key === undefined || secret === undefined) return undefined;
  // An empty token keeps the CLI from taking another one from the environment.
  const token = config.ofAws("token") ?? "";
  return { AWS_ACCESS_KEY_ID: key, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token };
}

/** The provider reads any number of files, the CLI one of each kind. */
function readFile(config: ConfigReader, key: keyof typeof fileVariables): Record<string, string> {
  const [file, ...others] = parseList(config.ofAws(key));
  if (others.length > 0) addMistake(config, key, "one file", "Put the profiles in one file");
  return typeof file === "string" ? { [fileVariables[key]]: file } : {};
}

const fileVariables = {
  sharedConfigFiles: "AWS_CONFIG_FILE",
  sharedCredentialsFiles: "AWS_SHARED_CREDENTIALS_FILE",
} as const;

/** The role of the only entry, of which the CLI takes nothing but the ARN. A session's duration makes no difference here. */
function readRole(config: ConfigReader): string[] {
  const [role, ...others] = parseList(config.ofAws("assumeRoles"));
  if (others.length > 0) addMistake(config, "assumeRoles", "one role", useProfile);
  const { roleArn, ...options } = (role ?? {}) as Readonly<Record<string, unknown>>;
  for (const option of Object.keys(options).filter((one) => one !== "duration")) {
    addMistake(config, `assumeRoles[0].${option}`, "not to be set", useProfile);
  }
  return typeof roleArn === "string" ? ["--role-arn", roleArn] : [];
}

/** The entries of a list in JSON; none for another text, which the provider refuses before. */
function parseList(text = "[]"): readonly unknown[] {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed : [];
  } catch {
    return [];
  }
}
