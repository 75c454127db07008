// The docker command against the daemon that the provider's configuration names, with a login where a push needs one.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run, succeeds } from "../../process.ts";

export interface DockerSession {
  readonly host: string;
  /** Messages to whoever runs pulumi. */
  readonly log: (severity: "info" | "warning", message: string) => void;
}

export interface Login {
  readonly server: string;
  readonly username: string;
  readonly password: string;
}

/** Runs the docker command and gives its standard output. `config` is a folder of docker's own configuration. */
export async function docker({ host }: DockerSession, args: readonly string[], config?: string): Promise<string> {
  // The classic builder: BuildKit needs a plugin that Debian's client does not bring. DOCKER_CONTEXT is ignored.
  const env = { ...process.env, DOCKER_HOST: host, DOCKER_BUILDKIT: "0", DOCKER_CONTEXT: "" };
  return run("docker", args, { env: config === undefined ? env : { ...env, DOCKER_CONFIG: config } });
}

/** configureDockerClient in pulumi-docker provider/provider.go pings the daemon before anything else. */
export async function assertDaemon(session: DockerSession): Promise<void> {
  const answer = docker(session, ["version", "--format", "{{.Server.Version}}"]);
  if (!(await succeeds(answer))) throw new Error(`failed to connect to any docker daemon: ${session.host}`);
}

/** Does the work with a folder whose config.json holds the login, which no argument and no error names. */
export async function withLogin<T>(login: Login | undefined, work: (config?: string) => Promise<T>): Promise<T> {
  if (login === undefined) return work();
  const config = await mkdtemp(join(tmpdir(), "pulumi-docker-"));
  try {
    const auth = Buffer.from(`${login.username}:${login.password}`).toString("base64");
    await writeFile(join(config, "config.json"), JSON.stringify({ auths: { [login.server]: { auth } } }), {
      mode: 0o600,
    });
    return await work(config);
  } catch (error) {
    throw new Error(redacted(error instanceof Error ? error.message : String(error), login.password));
  } finally {
    await rm(config, { recursive: true });
  }
}

/** A message without a password, whoever put it there. */
const redacted = (message: string, password: string): string =>
  password === "" ? message : message.replaceAll(password, "[secret]");
