// Runs the docker command with the configured daemon, and with a login where a push needs one.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, succeeds } from "../../process.ts";

/** A configured provider. `host` is the daemon's address, as DOCKER_HOST has it. */
export interface DockerSession {
  readonly host: string;
  /** Shows a message to the user of pulumi. */
  readonly log: (severity: "info" | "warning", message: string) => void;
}

/** A login to a registry, which is named by its host. */
export interface Login {
  readonly server: string;
  readonly username: string;
  readonly password: string;
}

/** Runs the docker command with further environment variables. Returns its standard output. */
export async function docker(
  { host }: DockerSession,
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
): Promise<string> {
  // The classic builder, because BuildKit needs a plugin that Debian's client lacks. DOCKER_CONTEXT is ignored.
  const own = { DOCKER_HOST: host, DOCKER_BUILDKIT: "0", DOCKER_CONTEXT: "" };
  return run("docker", args, { env: { ...process.env, ...variables, ...own } });
}

/** Rejects where the daemon does not respond, as configureDockerClient in pulumi-docker provider/provider.go. */
export async function assertDaemon(session: DockerSession): Promise<void> {
  const answer = docker(session, ["version", "--format", "{{.Server.Version}}"]);
  if (!(await succeeds(answer))) throw new Error(`failed to connect to any docker daemon: ${session.host}`);
}

/** Runs `work` with environment variables by which docker reads the login from a temporary file, so that it is in no argument. */
export async function withLogin<T>(
  login: Login | undefined,
  work: (variables: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> {
  if (login === undefined) return work({});
  const config = await mkdtemp(join(tmpdir(), "pulumi-docker-"));
  try {
    const auth = Buffer.from(`${login.username}:${login.password}`).toString("base64");
    await writeFile(join(config, "config.json"), JSON.stringify({ auths: { [login.server]: { auth } } }), {
      mode: 0o600,
    });
    return await work({ DOCKER_CONFIG: config });
  } finally {
    await rm(config, { recursive: true });
  }
}

/** Removes secrets from the error of `work`, because a build may print its arguments. */
export async function redactSecrets<T>(secrets: readonly string[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // Without the cause, which still contains the secrets.
    throw new Error(secrets.reduce((text, secret) => text.replaceAll(secret, "[secret]"), message));
  }
}
