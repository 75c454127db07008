// Starts, repairs and stops the local cloud as a whole. A machine has only one.
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { startContainerd } from "./containerd.ts";
import { startControlPlane } from "./control-plane.ts";
import { dockerHost, makeBaseImage, startDocker } from "./docker.ts";
import { recordSecrets } from "./audit-log.ts";
import { prepareHost, restoreHost } from "./host.ts";
import { buildKubernetes, cloudPrograms, installAwsCli, installEmulator, installPackages } from "./install.ts";
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
import { firstNode } from "./node-settings.ts";
import { pulumiFolder } from "./pulumi/pulumi-home.ts";
import { pulumiEnvironment } from "./pulumi/toolchain.ts";
import {
  respondsOk,
  hasCrashed,
  isRunning,
  LocalCloudError,
  run,
  startBackground,
  stopBackground,
  killProcessTrees,
  waitUntilReady,
} from "./process.ts";
import { step } from "./progress.ts";
import { removeSecondNode } from "./second-node.ts";
import { makeRootKey } from "./root-key.ts";

/** Container engines stop their own containers, so they get SIGTERM; dockerd first, because it needs containerd. */
const engines = ["dockerd", "containerd"];

/**
 * All parts in the order in which they are stopped: first the ones that would start pods again. Their data is thrown away, so they
 * are killed.
 */
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

/** Parts that keep their data in memory only. Where one of them died, the whole cloud has to start anew. */
const inMemoryParts = ["emulator", "gateway"];

/** The environment variables with which kubectl, aws, docker and pulumi use the local cloud. */
export const cloudEnvironment = (): Record<string, string> => ({
  ...aws,
  ...pulumiEnvironment(),
  // Pulumi rewrites the sidecar file `NAME.json.attrs` in place: a command that is killed then leaves a state that it cannot load.
  PULUMI_BACKEND_URL: `file://${backend}?metadata=skip`,
  // The passphrase of Pulumi.dev.yaml's encryptionsalt. The only secrets that it protects are the emulator's.
  PULUMI_CONFIG_PASSPHRASE: "",
  KUBECONFIG: kubeconfig,
  DOCKER_HOST: dockerHost(),
  PATH: [pulumiFolder, binaries, process.env["PATH"] ?? ""].join(delimiter),
});

/** Whether the local cloud runs. Parts that lose no data when they end do not count. */
export const isCloudRunning = (): boolean => inMemoryParts.every(isRunning);

/**
 * Starts the local cloud unless it is running, or repairs it. A part that died is started again with its data; where the emulator
 * or the gateway died, everything is deleted first, including the stacks. Returns whether anything was started.
 */
export async function startCloud(): Promise<boolean> {
  // No dockerd of its own is needed where the machine has a Docker engine.
  if (parts.every((part) => isRunning(part) || (part === "dockerd" && !hasCrashed(part)))) return false;
  await installPackages(cloudPrograms);
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
    const [engine, controlPlane] = [
      startContainerd(firstNode).then(startDocker),
      startControlPlane(kubernetes.kubernetes),
    ];
    // The node needs the pause image, which the Docker engine builds.
    const cluster = Promise.all([engine, controlPlane]).then(async () => startNode(firstNode, kubernetes));
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

/** Rejects with LocalCloudError where another program listens on one of the ports, which are named by the part that needs them. */
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

/** Tries to listen there. The bridge does not exist yet, so only a listener on every address can have taken a port of it. */
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

/** Stops every part and removes its processes, mounts, interfaces, firewall rules, control groups and files. */
export async function stopCloud(): Promise<void> {
  await removeSecondNode();
  for (const part of parts.filter((one) => !engines.includes(one))) await stopBackground(part, "SIGKILL");
  for (const engine of engines) await stopBackground(engine);
  await killProcessTrees(containerdSocket);
  await restoreHost();
  await rm(home, { recursive: true, force: true });
}
