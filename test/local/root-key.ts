// The key of the emulator's root: made at each start of the cloud, and read where it is needed. AWS' clients find it by
// `AWS_SHARED_CREDENTIALS_FILE`, so that it is in no environment, argument or configuration but the emulator's own.
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { account, awsCredentials } from "./settings.ts";

export interface RootKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Makes the key unless there is one: an emulator that runs has it. Gives it. */
export async function makeRootKey(): Promise<RootKey> {
  if (!existsSync(awsCredentials)) {
    // The emulator takes an account's id for the access key of its root, and has one secret for all of them.
    const key = { aws_access_key_id: account, aws_secret_access_key: randomBytes(20).toString("hex") };
    const lines = Object.entries(key).map(([name, value]) => `${name} = ${value}\n`);
    await writeFile(awsCredentials, `[default]\n${lines.join("")}`, { mode: 0o600 });
  }
  return rootOf(account)();
}

/** What gives the key of an account's root, as AWS' clients ask for it. */
export const rootOf = (account: string) => async (): Promise<RootKey> => {
  const [, secretAccessKey] = /^aws_secret_access_key = (.+)$/m.exec(await readFile(awsCredentials, "utf8")) ?? [];
  if (secretAccessKey === undefined) throw new Error(`${awsCredentials} is not as the local cloud wrote it`);
  return { accessKeyId: account, secretAccessKey };
};
