// aws:iam/accessKey:AccessKey. Rules: terraform-provider-aws internal/service/iam/access_key.go.
import * as iam from "@aws-sdk/client-iam";
import { createHmac } from "node:crypto";
import { resourceType } from "../declared-type.ts";
import { InitFailedError } from "../resource-type.ts";
import { withContext, undefinedIfGone } from "./errors.ts";
import { oneOf, text, timestamp } from "./inputs.ts";
import type { AwsSession } from "./session.ts";

/** Its id is the access key id. `secret` and `sesSmtpPasswordV4` are secret. */
export const accessKey = resourceType<AwsSession>({
  schema: {
    user: { type: "string", required: true, forceNew: true },
    status: { type: "string", default: "Active", validate: oneOf("Active", "Inactive") },
    pgpKey: { type: "string", forceNew: true, unsupported: true },
  },
  computed: ["createDate"],
  // AWS returns them only at creation, so an imported key has neither.
  onlyAtCreation: ["secret", "sesSmtpPasswordV4"],
  secretOutputs: ["secret", "sesSmtpPasswordV4"],
  create: async ({ user, status }, session) => {
    const UserName = String(user);
    const command = new iam.CreateAccessKeyCommand({ UserName });
    const { AccessKey } = await withContext(`creating IAM Access Key (${UserName})`, session.iam.send(command));
    const { AccessKeyId: id = "", SecretAccessKey = "" } = AccessKey ?? {};
    const secrets = { secret: SecretAccessKey, sesSmtpPasswordV4: sesSmtpPassword(SecretAccessKey, session.region) };
    if (status === "Inactive") {
      const deactivated = setStatus({ UserName, AccessKeyId: id, Status: "Inactive" }, session);
      await withContext(`deactivating IAM Access Key (${id})`, deactivated).catch((error: unknown) => {
        // The key exists, and its secret is returned only now. Without it in the state nobody could use the key or find it again.
        throw new InitFailedError({ id, inputs: {}, outputs: { ...secrets, status: "Active" } }, error);
      });
    }
    return { id, creationOutputs: secrets };
  },
  read: async (id, state, session) => {
    const UserName = text(state, "user") ?? (await userOf(id, session));
    if (UserName === undefined) return undefined;
    const response = session.iam.send(new iam.ListAccessKeysCommand({ UserName }));
    const keys =
      (await withContext(`reading IAM Access Key (${id})`, undefinedIfGone(response)))?.AccessKeyMetadata ?? [];
    const found = keys.find(({ AccessKeyId }) => AccessKeyId === id);
    if (found === undefined) return undefined;
    const properties = { createDate: timestamp(found.CreateDate), status: found.Status, user: found.UserName };
    return { id, properties };
  },
  update: async ({ id, inputs, changes }, session) => {
    if (!changes("status")) return undefined;
    const wanted = { UserName: String(inputs["user"]), AccessKeyId: id, Status: inputs["status"] as iam.StatusType };
    await withContext(`updating IAM Access Key (${id})`, setStatus(wanted, session));
    return undefined;
  },
  remove: async (AccessKeyId, state, session) => {
    const command = new iam.DeleteAccessKeyCommand({ AccessKeyId, UserName: text(state, "user") });
    await withContext(`deleting IAM Access Key (${AccessKeyId})`, undefinedIfGone(session.iam.send(command)));
  },
});

const setStatus = async (wanted: iam.UpdateAccessKeyCommandInput, { iam: client }: AwsSession): Promise<unknown> =>
  client.send(new iam.UpdateAccessKeyCommand(wanted));

/** Looks up the user of a key, which an import does not know. */
async function userOf(AccessKeyId: string, { iam: client }: AwsSession): Promise<string | undefined> {
  const response = client.send(new iam.GetAccessKeyLastUsedCommand({ AccessKeyId }));
  const what = `fetching IAM Access Key (${AccessKeyId}) username via GetAccessKeyLastUsed`;
  return (await withContext(what, undefinedIfGone(response)))?.UserName;
}

/** https://docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html (SessmTPPasswordFromSecretKeySigV4). */
export function sesSmtpPassword(secretKey: string, region: string): string {
  const parts = ["11111111", region, "ses", "aws4_request", "SendRawEmail"];
  const sign = (key: Buffer, message: string): Buffer => createHmac("sha256", key).update(message).digest();
  const signature = parts.reduce(sign, Buffer.from(`AWS4${secretKey}`));
  return Buffer.concat([Buffer.from([4]), signature]).toString("base64");
}
