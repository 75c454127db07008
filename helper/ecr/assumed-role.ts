// Credentials of a role that asks for tokens: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
import { AssumeRoleCommand, type STSClient } from "@aws-sdk/client-sts";
import type { RegistryRole } from "../shared/registry-logins.ts";

/** As the SDK takes them. */
interface SessionCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiration?: Date;
}

/**
 * Credentials of a role for an hour, the most that one role gets of another. They are needed for one request only: ECR documents 12
 * hours for a token, whoever asks, and the token refresher goes by the expiry that ECR answers. CloudTrail shows `sessionName`.
 */
export async function assumeRole(
  { roleArn, externalId, sessionTags }: RegistryRole,
  sessionName: string,
  sts: STSClient,
): Promise<SessionCredentials> {
  const tags = Object.entries(sessionTags).map(([Key, Value]) => ({ Key, Value }));
  const request = {
    RoleArn: roleArn,
    RoleSessionName: sessionName,
    ...(externalId === undefined ? {} : { ExternalId: externalId }),
    ...(tags.length === 0 ? {} : { Tags: tags }),
  };
  const { Credentials } = await sts.send(new AssumeRoleCommand(request));
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = Credentials ?? {};
  if (AccessKeyId === undefined || SecretAccessKey === undefined || SessionToken === undefined) {
    throw new Error(`STS answered without credentials of ${roleArn}`);
  }
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: SessionToken,
    ...(Expiration === undefined ? {} : { expiration: Expiration }),
  };
}
