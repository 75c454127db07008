// The local cloud: started, found, repaired and stopped as a whole. Only one exists on a machine.
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { startContainerd } from "./containerd.ts";
import { startControlPlane } from "./control-plane.ts";
import { dockerHost, makeBaseImage, startDocker } from "./docker.ts";
import { recordSecrets } from "./audit-log.ts";
import { prepareHost, restoreHost } from "./host.ts";
import { buildKubernetes, installAwsCli, installEmulator, installPackages } from "./install.ts";
import {
  account,
  aws,
  backend,
  binaries,
  bridge,
  containerdSocket,
  home,
  kubeconfig,
  ports,
  url,
  type Endpoint,
} from "./settings.ts";
import { startNode } from "./node.ts";
import { pulumiFolder } from "./pulumi/pulumi-home.ts";
import { pulumiEnvironment } from "./pulumi/toolchain.ts";
import {
  respondsOk,
  hasDied,
  isRunning,
  LocalCloudError,
  run,
  startBackground,
  stopBackground,
  killProcessTrees,
  waitUntilReady,
} from "./process.ts";
import { step } from "./progress.ts";
import { makeRootKey } from "./root-key.ts";

/** Engines end by themselves what they started, so they are asked: first the one that needs the other. */
const engines = ["dockerd", "containerd"];

/** In the order they are stopped: first who would start things again. What they hold is thrown away, so they are killed. */
const parts = [
  ...[
    "kubelet",
    "kube-proxy",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "etcd",
    "eks",
    "gateway",
    "emulator",
  ],
  ...engines,
];

/** What the cloud keeps in memory only. Where one of these died, nothing that stands on it is worth keeping. */
const inMemoryParts = ["emulator", "gateway"];

/** The environment in which kubectl, aws, docker and pulumi work against the local cloud. */
export const cloudEnvironment = (): Record<string, string> => ({
  ...aws,
  ...pulumiEnvironment(),
  PULUMI_BACKEND_URL: `file://${backend}`,
  // The passphrase of Pulumi.dev.yaml's encryptionsalt. What it would keep is the emulator's.
  PULUMI_CONFIG_PASSPHRASE: "",
  KUBECONFIG: kubeconfig,
  DOCKER_HOST: dockerHost(),
  PATH: [pulumiFolder, binaries, process.env["PATH"] ?? ""].join(delimiter),
});

export const isCloudRunning = (): boolean => inMemoryParts.every(isRunning);

/**
 * Makes sure that the local cloud runs: finds it, starts it, or repairs it. A part that died is started again with its
 * data; where the emulator died the cloud starts from nothing, its stacks included. Gives whether anything was started.
 */
export async function startCloud(): Promise<boolean> {
  // The machine's own Docker engine may be in dockerd's place.
  if (parts.every((part) => isRunning(part) || (part === "dockerd" && !hasDied(part)))) return false;
  await installPackages();
  const emulator = await installEmulator();
  const awsCli = await installAwsCli();
  const kubernetes = await buildKubernetes();
  if (existsSync(home) && !isCloudRunning()) {
    await step("clearing what a crash left", stopCloud);
  }
  await mkdir(join(home, "stacks"), { recursive: true, mode: 0o700 });
  if (!parts.some(isRunning)) await checkPorts(ports);
  await prepareHost();
  await mkdir(binaries, { recursive: true });
  await writeFile(join(binaries, "aws"), `#!/bin/sh\nexec ${awsCli} "$@"\n`, { mode: 0o755 });
  await step("starting the local cloud", async () => {
    const [engine, controlPlane] = [startContainerd().then(startDocker), startControlPlane(kubernetes.kubernetes)];
    // The node runs a pause image that the engine makes.
    const cluster = Promise.all([engine, controlPlane]).then(async () => startNode(kubernetes));
    const running = Promise.all([startEmulator(emulator), controlPlane]).then(startEks);
    await Promise.all([running, cluster, engine.then(makeBaseImage)]);
  });
  return true;
}

async function startEmulator(program: string): Promise<void> {
  const { accessKeyId, secretAccessKey } = await makeRootKey();
  const env = {
    AUTH: "true",
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    BIND_HOST: ports.emulator.address,
    GATEWAY_PORT: String(ports.emulator.port),
    MINISTACK_ACCOUNT_ID: account,
    MINISTACK_REGION: aws.AWS_REGION,
    SERVICES: "ecr,iam,sts,eks",
  };
  startBackground({ name: "emulator", command: program, args: [], env });
  recordSecrets([secretAccessKey]);
  await waitUntilReady("emulator", async () => respondsOk(`${url(ports.emulator)}/_ministack/health`));
  startBackground({
    name: "gateway",
    command: process.execPath,
    args: [join(import.meta.dirname, "gateway", "main.ts")],
  });
  await waitUntilReady("gateway", async () => respondsOk(`${url(ports.gateway)}/_ministack/health`));
}

async function startEks(): Promise<void> {
  const args = [join(import.meta.dirname, "eks.ts")];
  startBackground({ name: "eks", command: process.execPath, args, env: aws });
  await waitUntilReady("eks", async () => respondsOk(`${url(ports.nodeAgents)}/healthz`));
}

/** Fails with the name of a port that somebody else listens on, before anything is started that would need it. */
export async function checkPorts(wanted: Readonly<Record<string, Endpoint>>): Promise<void> {
  for (const [name, endpoint] of Object.entries(wanted)) {
    if (await isTaken(endpoint)) {
      throw new LocalCloudError(
        `Port ${String(endpoint.port)} of ${endpoint.address}, which the local cloud's ${name} needs, is taken by ` +
          `${await listenerOn(endpoint.port)}. Remedy: stop that program, then run the command again.`,
      );
    }
  }
}

/** Tells by listening there. The bridge's address is not there yet: only a listener on every address can be in its way. */
async function isTaken({ address, port }: Endpoint): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(true) : reject(error),
    );
    server.listen(port, address === bridge.address ? "0.0.0.0" : address, () => server.close(() => resolve(false)));
  });
}

async function listenerOn(port: number): Promise<string> {
  const sockets = await run("ss", ["-Hltnp", `sport = :${String(port)}`]).catch(() => "");
  return /users:\(\("([^"]+)",pid=(\d+)/.exec(sockets)?.slice(1, 3).join(", process ") ?? "another program";
}

/** Stops every part and removes all it left: processes, mounts, interfaces, firewall rules, control groups, files. */
export async function stopCloud(): Promise<void> {
  for (const part of parts.filter((one) => !engines.includes(one))) await stopBackground(part, "SIGKILL");
  for (const engine of engines) await stopBackground(engine);
  await killProcessTrees(containerdSocket);
  await restoreHost();
  await rm(home, { recursive: true, force: true });
}
