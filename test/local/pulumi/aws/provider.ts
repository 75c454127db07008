// The AWS provider, as far as infra/ uses it.
import awsPackage from "@pulumi/aws/package.json" with { type: "json" };
import { GetCallerIdentityCommand } from "@aws-sdk/client-sts";
import type { Plugin } from "../plugin.ts";
import { configFailures } from "./config.ts";
import { withContext } from "./errors.ts";
import { awsFunctions } from "./functions.ts";
import { awsSession, type AwsSession } from "./session.ts";
import { awsTypes } from "./types.ts";

/** What its plugin serves. */
export const awsProvider: Plugin<AwsSession> = {
  name: "aws",
  version: awsPackage.version,
  checkConfig: async (config) => Promise.resolve(configFailures(config)),
  // None of the original's arguments forces a new provider.
  // additionalSecretOutputs in node_modules/@pulumi/aws/provider.js
  secretConfig: ["accessKey", "secretKey", "token"],
  configure: async (config) => {
    const [failure] = configFailures(config);
    if (failure !== undefined) throw new Error(failure.reason);
    const session = awsSession(config);
    await checkCredentials(session);
    await checkAccount(session);
    return session;
  },
  types: awsTypes,
  functions: awsFunctions,
};

/** Without credentials, and with wrong ones, nothing is even planned (validateCredentials in pulumi-aws, and aws-sdk-go-base). */
async function checkCredentials(session: AwsSession): Promise<void> {
  if (session.config.skipCredentialsValidation) return;
  const details = await session.sts.config.credentials().then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  if (details !== undefined) {
    throw new Error(`unable to validate AWS credentials.\nDetails: No valid credential sources found. ${details}`);
  }
  const what = "validating provider credentials: retrieving caller identity from STS";
  await withContext(`configuring Terraform AWS Provider: ${what}`, session.sts.send(new GetCallerIdentityCommand()));
}

/** allowedAccountIds and forbiddenAccountIds (VerifyAccountIDAllowed in aws-sdk-go-base). */
async function checkAccount(session: AwsSession): Promise<void> {
  const { allowedAccountIds: allowed, forbiddenAccountIds: forbidden } = session.config;
  if (allowed.length === 0 && forbidden.length === 0) return;
  const { accountId } = await session.identity();
  const isAllowed = allowed.length === 0 || allowed.includes(accountId);
  if (!isAllowed || forbidden.includes(accountId)) throw new Error(`AWS account ID not allowed: ${accountId}`);
}
