// The Docker engine: the machine's own where one is running, else one without networks and firewall rules.
import { mkdtemp, mkdir, copyFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { containerdSocket, dockerSocket, home } from "./settings.ts";
import {
  isRunning,
  LocalCloudError,
  run,
  startBackground,
  succeeds,
  waitUntilReady,
  type RunOptions,
} from "./process.ts";
import { step } from "./progress.ts";
import { defaultConfig } from "./stack.ts";

const ownHost = `unix://${dockerSocket}`;
const systemHost = (): string => process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock";

/** DOCKER_HOST of the engine that the local cloud uses. */
export const dockerHost = (): string => (isRunning("dockerd") ? ownHost : systemHost());

/** Runs the docker command with the local cloud's engine. Returns its standard output. */
export async function docker(args: readonly string[], options: RunOptions = {}): Promise<string> {
  // The classic builder, because BuildKit needs a plugin that Debian's client lacks.
  const env = { ...process.env, ...options.env, DOCKER_HOST: dockerHost(), DOCKER_BUILDKIT: "0" };
  return run("docker", args, { ...options, env });
}

const engineAnswers = async (): Promise<boolean> =>
  succeeds(docker(["version", "--format", "{{.Server.Version}}"], { timeout: 10_000 }));

/** Starts a Docker engine unless one responds. */
export async function startDocker(): Promise<void> {
  if (!isRunning("dockerd") && (await engineAnswers())) return;
  const folder = join(home, "docker");
  const args = ["--host", ownHost, "--data-root", folder, "--exec-root", join(home, "docker-run")];
  // A containerd that dockerd starts itself would outlive a killed dockerd and keep the next one from starting.
  const isolated = [
    "--containerd",
    containerdSocket,
    "--bridge",
    "none",
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
  ];
  // A killed dockerd leaves its pid file. Where another process has that pid by now, dockerd refuses to start.
  const pidfile = join(home, "docker.pid");
  if (!isRunning("dockerd")) await rm(pidfile, { force: true });
  startBackground({ name: "dockerd", command: "dockerd", args: [...args, ...isolated, "--pidfile", pidfile] });
  await waitUntilReady("dockerd", engineAnswers);
}

/** Whether the engine has an image with this name. */
export const hasImage = async (name: string): Promise<boolean> => succeeds(docker(["image", "inspect", name]));

const baseImage = "ecr-helper-base:24";
/** The default base image of Pulumi.yaml, with its digest. */
const distroless = defaultConfig()["ecr-helper:baseImage"] ?? "";

/** Provides the helper's base image: distroless where it can be pulled, else this Node with the libraries that it links. */
export async function makeBaseImage(): Promise<void> {
  if (await hasImage(baseImage)) return;
  const pulled = docker(["pull", "-q", distroless], { timeout: 60_000 });
  const made = pulled.then(
    async () => docker(["tag", distroless, baseImage]),
    async () => importNode(),
  );
  await step("making the helper's base image", async () => made);
}

async function importNode(): Promise<void> {
  if (!process.version.startsWith("v24.")) {
    throw new LocalCloudError(
      `The base image takes Node 24, but this is ${process.version}. Remedy: start it by npm run.`,
    );
  }
  const root = await mkdtemp(join(tmpdir(), "ecr-helper-base-"));
  try {
    const linked = await run("ldd", [process.execPath]);
    const libraries = [...linked.matchAll(/(\/\S+) \(0x/g)].map(([, file]) => file ?? "");
    for (const file of libraries) await copyInto(file, join(root, file));
    await copyInto(process.execPath, join(root, "nodejs/bin/node"));
    await mkdir(join(root, "etc"));
    await writeFile(join(root, "etc/passwd"), "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n");
    await importImage(root, baseImage, ['ENTRYPOINT ["/nodejs/bin/node"]', "USER 65532", "WORKDIR /"]);
  } finally {
    await rm(root, { recursive: true });
  }
}

async function copyInto(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}

/** Creates an image with one layer from a folder. `changes` are Dockerfile instructions, such as `USER 65532`. */
export async function importImage(folder: string, name: string, changes: readonly string[]): Promise<void> {
  const archive = `${folder}.tar`;
  try {
    await run("tar", ["--owner=0", "--group=0", "--numeric-owner", "-cf", archive, "-C", folder, "."]);
    await docker(["import", ...changes.flatMap((change) => ["--change", change]), archive, name]);
  } finally {
    await rm(archive, { force: true });
  }
}

/** Pushes an image. The credentials are in a temporary file during the push, and never in an argument. */
export async function push(image: string, server: string, username: string, password: string): Promise<void> {
  const config = await mkdtemp(join(tmpdir(), "ecr-helper-push-"));
  try {
    const auth = Buffer.from(`${username}:${password}`).toString("base64");
    await writeFile(join(config, "config.json"), JSON.stringify({ auths: { [server]: { auth } } }), { mode: 0o600 });
    await docker(["push", "--quiet", image], { env: { DOCKER_CONFIG: config } });
  } finally {
    await rm(config, { recursive: true });
  }
}
