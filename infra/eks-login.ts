// How Pulumi's Kubernetes provider logs in to an EKS cluster: by the AWS CLI.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import * as pulumi from "@pulumi/pulumi";
import { sanitize } from "../helper/shared/messages.ts";
import type { AwsLogin } from "./config/aws-login.ts";

const apiVersion = "client.authentication.k8s.io/v1beta1";
/** Time for a request to STS, with its retries, in milliseconds. */
const timeout = 60_000;
const cli = "the AWS CLI, 2.7 or 1.24 or newer";
const manual = "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html";

/** The address of an EKS cluster. */
export interface EksAddress {
  readonly name: string;
  readonly region: string;
  /** URL of the API server. */
  readonly endpoint: string;
  /** The certificate authority of the API server: PEM in base64. */
  readonly certificateAuthority: string;
}

const missing = `${cli}, in PATH: ${manual}`;

interface Exec {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** The command that prints a token. A user's default for the output's format would break it. */
const execOf = ({ name, region }: EksAddress, { args, env }: AwsLogin): Exec => ({
  command: "aws",
  args: ["eks", "get-token", "--cluster-name", name, "--region", region, "--output", "json", ...args],
  env,
});

/**
 * A kubeconfig that gets a new token from the AWS CLI on every use, as the identity of the AWS provider. The token of
 * eks.getClusterAuth, which needs no CLI, is valid for 15 minutes: in the state it would change the provider on every
 * `up`, and be expired on the next `destroy` and `refresh`, which do not run the program.
 */
export function eksKubeconfig(eks: EksAddress, login: AwsLogin): pulumi.Input<string> {
  const { name, endpoint, certificateAuthority } = eks;
  const { command, args, env } = execOf(eks, login);
  const variables = Object.entries(env).map(([name, value]) => ({ name, value }));
  const exec = {
    apiVersion,
    command,
    args,
    ...(variables.length === 0 ? {} : { env: variables }),
    interactiveMode: "Never",
    installHint: `Install ${cli}: ${manual}`,
  };
  const kubeconfig = JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server: endpoint, "certificate-authority-data": certificateAuthority } }],
    users: [{ name, user: { exec } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  });
  // What comes from the configuration may be a key, a proxy's password, or set with --secret.
  return login.args.length + variables.length === 0 ? kubeconfig : pulumi.secret(kubeconfig);
}

/**
 * Gets a token once, before any change: a missing or old AWS CLI, an unknown profile or a role that cannot be assumed
 * would otherwise fail in the middle of `pulumi up`. Rejects with a RunError.
 */
export async function checkEksLogin(eks: EksAddress, login: AwsLogin): Promise<void> {
  const { command, args, env } = execOf(eks, login);
  // As client-go calls it.
  const info = JSON.stringify({ kind: "ExecCredential", apiVersion, spec: { interactive: false } });
  const options = { env: { ...process.env, ...env, KUBERNETES_EXEC_INFO: info }, timeout };
  const ended = await promisify(execFile)(command, [...args], options).catch((error: unknown) => {
    throw failure(eks.name, ...explain(error as ExecError));
  });
  const version = versionOf(ended.stdout);
  if (version === apiVersion) return;
  throw failure(eks.name, missing, `this one answers in ${version ?? "another format"} instead of ${apiVersion}`);
}

/** What execFile rejects with. `code` is the exit status, or that of the system error. */
interface ExecError extends Error {
  readonly code?: number | string | null;
  readonly killed?: boolean;
  readonly stderr?: string;
}

function explain({ code, killed, stderr, message }: ExecError): [expected: string, reason: string] {
  if (code === "ENOENT") return [missing, "there is no command aws in PATH"];
  const expected = "`aws eks get-token` to print a token for the identity of the stack's AWS provider";
  if (killed === true) return [expected, `it did not end within ${String(timeout / 1000)} s`];
  return [expected, sanitize(errorLine(stderr ?? "") ?? message)];
}

/** The line of the CLI's output that says what is wrong: others are about its usage. */
function errorLine(stderr: string): string | undefined {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  return lines.find((line) => /error|could not|unable/i.test(line)) ?? lines.at(-1);
}

const failure = (name: string, expected: string, reason: string): pulumi.RunError =>
  new pulumi.RunError(
    `ecr-helper:eksCluster = ${JSON.stringify(name)}: to log in to that cluster, expected ${expected}. Nothing was changed. (${reason})`,
  );

function versionOf(stdout: string): string | undefined {
  try {
    const { apiVersion } = JSON.parse(stdout) as { apiVersion?: unknown };
    return typeof apiVersion === "string" ? sanitize(apiVersion) : undefined;
  } catch {
    return undefined; // The caller reports it. The output may contain a token, so it is not shown.
  }
}
