// Building and pushing an image by the docker command: provider/image.go of pulumi-docker.
import { join } from "node:path";
import type { Properties } from "../values.ts";
import { assertDaemon, docker, redactSecrets, withLogin, type DockerSession, type Login } from "./daemon.ts";

/** A build: folders and files are relative to the program's, `options` are the command's. */
export interface Build {
  readonly context: string;
  readonly dockerfile: string;
  readonly args: Readonly<Record<string, string>>;
  readonly options: readonly string[];
}

/** What is built, with the defaults of marshalBuildAndApplyDefaults. */
export function buildOf(inputs: Properties): Build {
  const { context = ".", dockerfile, args = {}, ...rest } = (inputs["build"] ?? {}) as Partial<Record<string, string>>;
  const hosts = (rest["addHosts"] ?? []) as unknown as readonly string[];
  const option = (key: string): string[] => (rest[key] === undefined ? [] : [`--${key}`, rest[key]]);
  return {
    context,
    dockerfile: dockerfile ?? join(context, "Dockerfile"),
    args,
    options: [
      ...option("target"),
      ...option("network"),
      // Not set for the daemon's own platform. Other platforms need an emulation that the daemon may not have.
      ...(rest["platform"] === undefined || rest["platform"] === hostPlatform ? [] : option("platform")),
      ...hosts.flatMap((host) => ["--add-host", host]),
    ],
  };
}

const architectures: Partial<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
/** The platform that the daemon builds for by default. */
export const hostPlatform = `linux/${architectures[process.arch] ?? process.arch}`;

/**
 * Builds an image and pushes it unless `skipPush` is set. Returns its digest in the registry, or its id where it is not pushed.
 * `secrets` are removed from error messages.
 */
export async function buildAndPush(
  inputs: Properties,
  secrets: readonly string[],
  session: DockerSession,
): Promise<string> {
  await assertDaemon(session);
  const isPushed = inputs["skipPush"] !== true;
  const login = isPushed ? loginOf(inputs, session) : undefined;
  return redactSecrets(login === undefined ? secrets : [...secrets, login.password], async () =>
    withLogin(login, async (variables) => {
      const name = String(inputs["imageName"]);
      await build(session, inputs, secrets, variables);
      if (!isPushed) return inspect(session, "{{.Id}}", name);
      await docker(session, ["push", "--quiet", name], variables);
      return digestOf(session, name);
    }),
  );
}

async function build(
  session: DockerSession,
  inputs: Properties,
  secrets: readonly string[],
  variables: Readonly<Record<string, string>>,
): Promise<void> {
  const { context, dockerfile, args, options } = buildOf(inputs);
  const name = String(inputs["imageName"]);
  // Every user of the machine can see arguments, so secrets are passed in the environment.
  const hidden = Object.fromEntries(Object.entries(args).filter(([, value]) => secrets.includes(value)));
  const named = Object.entries(args).flatMap(([key, value]) => [
    "--build-arg",
    key in hidden ? key : `${key}=${value}`,
  ]);
  const command = ["build", "--quiet", "--file", dockerfile, "--tag", name, ...named, ...options, context];
  await docker(session, command, { ...variables, ...hidden });
}

/** The program's login where it is complete; otherwise docker uses the machine's own configuration (getRegistryAuth). */
function loginOf(inputs: Properties, { log }: DockerSession): Login | undefined {
  const { username = "", password = "", ...rest } = (inputs["registry"] ?? {}) as Partial<Login>;
  // The default server is the one in the image's name.
  const server = rest.server ?? String(inputs["imageName"]);
  const host = server.replace(/^https?:\/\//, "").split("/")[0];
  if (host !== undefined && username !== "" && password !== "") return { server: host, username, password };
  if (username !== password) {
    const [missing, present] = username === "" ? ["username", "password"] : ["password", "username"];
    log("warning", `${missing} was not set, although ${present} was; using host credentials file`);
  }
  return undefined;
}

const inspect = async (session: DockerSession, format: string, name: string): Promise<string> =>
  (await docker(session, ["image", "inspect", "--format", format, name])).trim();

async function digestOf(session: DockerSession, name: string): Promise<string> {
  const digests = JSON.parse(await inspect(session, "{{json .RepoDigests}}", name)) as string[];
  const repository = name.replace(/:[^/:]*$/, "");
  const found = digests.find((digest) => digest.startsWith(`${repository}@`));
  if (found === undefined) throw new Error(`the daemon names no digest of ${name} after its push`);
  return found;
}
