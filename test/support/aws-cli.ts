// A stand-in for the AWS CLI in PATH, for tests of the program, which logs in to an EKS cluster by it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** Shell commands that print a token of this version, as `aws eks get-token` does. */
export const printToken = (version = "v1beta1"): string =>
  `echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/${version}","status":{"token":"t"}}'`;

/** Puts a command `aws` first in PATH while `work` runs; with an empty script PATH has no command at all. */
export async function withAwsCli<T>(script: string, work: () => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "ecr-helper-aws-"));
  const { PATH } = process.env;
  if (script !== "") writeFileSync(join(folder, "aws"), `#!/bin/sh\n${script}\n`, { mode: 0o700 });
  process.env["PATH"] = script === "" ? folder : [folder, PATH].join(delimiter);
  try {
    return await work();
  } finally {
    process.env["PATH"] = PATH;
    rmSync(folder, { recursive: true });
  }
}
