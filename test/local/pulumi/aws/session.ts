// The session of a configured provider: AWS clients with its credentials, by region.
import { ECRClient } from "@aws-sdk/client-ecr";
import { EKSClient } from "@aws-sdk/client-eks";
import { IAMClient } from "@aws-sdk/client-iam";
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import type { Properties } from "../values.ts";
import { type AssumedRole, type AwsConfig, readConfig } from "./config.ts";
import { AwsError, withContext } from "./errors.ts";

/** A configured provider. */
export interface AwsSession {
  /** The provider's region. */
  readonly region: string;
  readonly config: AwsConfig;
  readonly iam: IAMClient;
  readonly sts: STSClient;
  /** A client of ECR in a region, the provider's by default. */
  ecr(region?: unknown): ECRClient;
  /** A client of EKS in a region, the provider's by default. */
  eks(region?: unknown): EKSClient;
  identity(): Promise<{ accountId: string; arn: string; userId: string }>;
}

/** The configuration that all clients share. */
interface ClientOptions {
  readonly region: string;
  readonly credentials?: Credentials | (() => Promise<Credentials>);
  readonly profile?: string;
  readonly endpoint?: string;
  readonly maxAttempts?: number;
  readonly useFipsEndpoint: boolean;
  readonly useDualstackEndpoint: boolean;
}

type Credentials = Exclude<AwsConfig["credentials"], undefined>;
type Client = "ecr" | "eks" | "iam" | "sts";

/** Opens a session with the provider's configuration. The environment supplies what is missing in it. */
export function awsSession(variables: Properties = {}): AwsSession {
  const config = readConfig(variables);
  const made = new Map<string, unknown>();
  const once = <T>(key: string, make: () => T): T => {
    if (!made.has(key)) made.set(key, make());
    return made.get(key) as T;
  };
  const region = config.region;
  const credentials = config.roles.reduce<ClientOptions["credentials"]>((credentials, role) => {
    const assuming = {
      ...clientOptions(config, "sts", config.stsRegion ?? region),
      ...(credentials && { credentials }),
    };
    return async () => assumeRole(new STSClient(assuming), role);
  }, config.credentials);
  const options = (client: Client, region: unknown): ClientOptions => ({
    ...clientOptions(config, client, region),
    ...(credentials && { credentials }),
  });
  const session: AwsSession = {
    region,
    config,
    iam: named(new IAMClient(options("iam", region))),
    sts: named(new STSClient(options("sts", config.stsRegion ?? region))),
    ecr: (other = region) => once(`ecr ${String(other)}`, () => named(new ECRClient(options("ecr", other)))),
    eks: (other = region) => once(`eks ${String(other)}`, () => named(new EKSClient(options("eks", other)))),
    identity: async () => identityOf(session),
  };
  return session;
}

async function identityOf({ sts }: AwsSession): Promise<{ accountId: string; arn: string; userId: string }> {
  const answer = await withContext("reading STS Caller Identity", sts.send(new GetCallerIdentityCommand()));
  const { Account: accountId = "", Arn: arn = "", UserId: userId = "" } = answer;
  return { accountId, arn, userId };
}

async function assumeRole(sts: STSClient, { roleArn, sessionName, externalId }: AssumedRole): Promise<Credentials> {
  const input = { RoleArn: roleArn, RoleSessionName: sessionName ?? "pulumi", ExternalId: externalId };
  const { Credentials: made } = await sts.send(new AssumeRoleCommand(input));
  const { AccessKeyId = "", SecretAccessKey = "", SessionToken = "" } = made ?? {};
  return { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
}

function clientOptions(config: AwsConfig, client: Client, region: unknown): ClientOptions {
  const endpoint = config.endpoints[client];
  return {
    region: String(region),
    ...(config.profile === undefined ? {} : { profile: config.profile }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(config.maxAttempts === undefined ? {} : { maxAttempts: config.maxAttempts }),
    useFipsEndpoint: config.useFipsEndpoint,
    useDualstackEndpoint: config.useDualstackEndpoint,
  };
}

interface Stack {
  middlewareStack: {
    add(middleware: (next: Next, context: CommandContext) => Next, options: { step: "initialize"; name: string }): void;
  };
}
type Next = (args: never) => Promise<never>;
interface CommandContext {
  readonly clientName?: string;
  readonly commandName?: string;
}

/** Makes a client add the failed call to its errors. */
function named<T extends { config: unknown }>(client: T): T {
  const service = (client.config as { serviceId: string }).serviceId;
  (client as unknown as Stack).middlewareStack.add(
    (next, { commandName = "" }) =>
      async (args) =>
        next(args).catch((error: unknown) => {
          throw new AwsError(`${service}: ${commandName.replace(/Command$/, "")}`, error);
        }),
    { step: "initialize", name: "operationInErrors" },
  );
  return client;
}
