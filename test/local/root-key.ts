// The access key of the emulator's root, created at each start of the cloud. AWS clients read it from the file that
// `AWS_SHARED_CREDENTIALS_FILE` names, so that only the emulator itself has it in its environment.
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { account, awsCredentials } from "./settings.ts";

/** The access key of an account's root. */
export interface RootKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Creates the key unless it exists: a running emulator may use it already. Returns the key. */
export async function makeRootKey(): Promise<RootKey> {
  if (!existsSync(awsCredentials)) {
    // In the emulator an account's id is the access key id of its root, and all accounts share one secret.
    const key = { aws_access_key_id: account, aws_secret_access_key: randomBytes(20).toString("hex") };
    const lines = Object.entries(key).map(([name, value]) => `${name} = ${value}\n`);
    await writeFile(awsCredentials, `[default]\n${lines.join("")}`, { mode: 0o600 });
  }
  return rootCredentials(account)();
}

/** A credential provider for AWS clients that returns the key of an account's root. */
export const rootCredentials = (account: string) => async (): Promise<RootKey> => {
  const [, secretAccessKey] = /^aws_secret_access_key = (.+)$/m.exec(await readFile(awsCredentials, "utf8")) ?? [];
  if (secretAccessKey === undefined) throw new Error(`${awsCredentials} is not as the local cloud wrote it`);
  return { accessKeyId: account, secretAccessKey };
};
