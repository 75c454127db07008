// What the second node has on this machine: its network, its processes, and whatever these leave. Tests start the node
// (test/support/second-node.ts), and the end of the cloud removes what a test that died has left of it.
import { existsSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dropOutsideTraffic } from "./firewall.ts";
import { controlGroups, redirectAgents, removeGroup, unmountBelow } from "./host.ts";
import { onNode, secondNamespace, secondNode } from "./node-settings.ts";
import { isAlive, killUntilGone, processesOfContainers, run, stopBackground, succeeds } from "./process.ts";
import { ports, secondNetwork } from "./settings.ts";

/** The node's end of the cable; the other one is `secondNetwork.interface`. */
const cable = "cable";
/** Where its containerd has a folder for each container that it has started and not yet removed. */
const tasks = join(secondNode.folder, "containerd-run/io.containerd.runtime.v2.task/k8s.io");
/** Where every kubelet of a machine links the logs of its containers. */
const logLinks = "/var/log/containers";

/** Runs a program in the node's network. */
async function inside(program: string, ...args: string[]): Promise<string> {
  const { command, args: all } = onNode(secondNode, program, args);
  return run(command, all);
}

/** The registry listens on an address of loopback. As on the first node, the node itself may pull from it, and its pods may not. */
const registryRule = [
  ...["-i", secondNetwork.interface, "-s", secondNetwork.address, "-d", secondNetwork.gateway],
  ...["-p", "tcp", "--dport", String(ports.registry.port)],
  ...["-j", "DNAT", "--to-destination", `${ports.registry.address}:${String(ports.registry.port)}`],
];
const natRule = async (action: "-A" | "-C" | "-D"): Promise<string> =>
  run("iptables", ["-t", "nat", action, "PREROUTING", ...registryRule]);

/** Creates the node's network: a namespace with a cable to this machine, which is its router. */
export async function connectSecondNode(): Promise<void> {
  const { interface: near, gateway, address, podRange } = secondNetwork;
  // The cloud may have been started by another checkout, whose rules do not know the second node.
  await dropOutsideTraffic();
  await run("ip", ["netns", "add", secondNamespace]);
  await run("ip", ["link", "add", near, "type", "veth", "peer", "name", cable, "netns", secondNamespace]);
  await run("ip", ["address", "add", `${gateway}/30`, "dev", near]);
  await run("ip", ["link", "set", near, "up"]);
  await run("ip", ["route", "add", podRange, "via", address]);
  await inside("ip", "link", "set", "lo", "up");
  await inside("ip", "address", "add", `${address}/30`, "dev", cable);
  await inside("ip", "link", "set", cable, "up");
  await inside("ip", "route", "add", "default", "via", gateway);
  await redirectAgents(secondNode.pods.bridge, inside);
  await writeFile(`/proc/sys/net/ipv4/conf/${near}/route_localnet`, "1");
  await natRule("-A");
}

/** Drops, or no longer drops, every packet at the node's end of the cable. Connections stay open on both sides, as with a cut cable. */
export async function cutSecondNode(isCut: boolean): Promise<void> {
  const action = isCut ? "-A" : "-D";
  await inside("iptables", "-t", "mangle", action, "PREROUTING", "-i", cable, "-j", "DROP");
  await inside("iptables", "-t", "mangle", action, "POSTROUTING", "-o", cable, "-j", "DROP");
}

/** Kills the node's kubelet, containerd and shims, and all processes of its containers, at once. */
export async function killSecondNode(): Promise<void> {
  await killUntilGone(processes);
  // Removes the records.
  for (const name of Object.values(secondNode.processes)) await stopBackground(name, "SIGKILL");
}

/** The processes in the node's own network, and those of its containers. */
async function processes(): Promise<number[]> {
  const inNetwork = existsSync(join("/run/netns", secondNamespace))
    ? (await run("ip", ["netns", "pids", secondNamespace])).split("\n").filter(Boolean).map(Number)
    : [];
  return [...inNetwork, ...processesOfContainers(await containers())].filter(isAlive);
}

/** The ids of the node's containers. */
const containers = async (): Promise<string[]> => (existsSync(tasks) ? readdir(tasks) : []);

/** Removes everything that the node has on this machine. Every step can be repeated, and works where the node never started. */
export async function removeSecondNode(): Promise<void> {
  const { folder } = secondNode;
  await killSecondNode();
  for (const id of await containers()) await removeContainer(id);
  await unmountBelow(folder);
  if (existsSync(logLinks)) await run("find", [logLinks, "-ignore_readdir_race", "-lname", `${folder}/*`, "-delete"]);
  if (existsSync(`/sys/class/net/${secondNetwork.interface}`)) {
    if (await succeeds(natRule("-C"))) await natRule("-D");
    await run("ip", ["link", "delete", secondNetwork.interface]);
  }
  if (existsSync(join("/run/netns", secondNamespace))) await run("ip", ["netns", "delete", secondNamespace]);
  await rm(folder, { recursive: true, force: true });
}

/** Removes what a killed container has outside the node's folder, in folders that all containerds of a machine share. */
async function removeContainer(id: string): Promise<void> {
  // The containers of a pod share one shim and one network, so not every container has each of these.
  const socketFile = join(tasks, id, "address");
  if (existsSync(socketFile)) await rm((await readFile(socketFile, "utf8")).replace("unix://", ""), { force: true });
  for (const result of [`${secondNode.pods.network}-${id}-eth0`, `cni-loopback-${id}-lo`])
    await rm(join("/var/lib/cni/results", result), { force: true });
  for (const group of await controlGroups(join("k8s.io", id))) await removeGroup(group);
}
