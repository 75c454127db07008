// Changes of the machine itself and how each is undone: the bridge, firewall rules, kernel settings and mounts.
import { existsSync } from "node:fs";
import { readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chain, createCutChain, dropOutsideTraffic } from "./firewall.ts";
import { agentAddresses, bridge, home, ports } from "./settings.ts";
import { LocalCloudError, run } from "./process.ts";

const savedSettings = join(home, "kernel-settings.json");

/** Kernel settings that the kubelet, kube-proxy or the bridge plugin change. */
const kernelSettings = [
  "kernel/panic",
  "kernel/panic_on_oops",
  "kernel/keys/root_maxbytes",
  "kernel/keys/root_maxkeys",
  "net/ipv4/ip_forward",
  "net/ipv4/conf/all/route_localnet",
  "net/bridge/bridge-nf-call-iptables",
  "vm/overcommit_memory",
  "vm/panic_on_oom",
];

/**
 * Saves the kernel settings, then creates the firewall rules and the bridge. Rejects with LocalCloudError where another Kubernetes is
 * running, or where its pod network is in use.
 */
export async function prepareHost(): Promise<void> {
  if (!existsSync(savedSettings)) {
    if ((await run("iptables-save", ["-t", "nat"])).includes(":KUBE-SERVICES")) {
      throw new LocalCloudError(
        "Another Kubernetes keeps its firewall rules (chain KUBE-SERVICES) on this machine; two kube-proxies would undo each " +
          "other's. Remedy: stop it, or use it as a real cluster (README.md).",
      );
    }
    const values: Record<string, string> = {};
    for (const name of kernelSettings.filter((one) => existsSync(join("/proc/sys", one)))) {
      values[name] = await readFile(join("/proc/sys", name), "utf8");
    }
    await writeFile(savedSettings, JSON.stringify(values));
  }
  // Before anything listens.
  await dropOutsideTraffic();
  await createCutChain();
  if (!existsSync(`/sys/class/net/${bridge.name}`)) await makeBridge();
}

async function makeBridge(): Promise<void> {
  const routes = await run("ip", ["-o", "route", "show", "to", "match", bridge.address]);
  const foreign = routes.split("\n").find((line) => line !== "" && !line.startsWith("default"));
  if (foreign !== undefined) {
    throw new LocalCloudError(
      `The local cloud's pod network ${bridge.podRange} is in use on this machine: ${foreign.trim()}. Remedy: take that network down.`,
    );
  }
  await run("ip", ["link", "add", bridge.name, "type", "bridge"]);
  await run("ip", ["address", "add", `${bridge.address}/24`, "dev", bridge.name]);
  await run("ip", ["link", "set", bridge.name, "up"]);
  await redirectAgents(bridge.name, async (program, ...args) => run(program, args));
}

/** Redirects what pods send to the agents of an EKS node. `runThere` runs a program in the network of the pods' bridge. */
export async function redirectAgents(
  podBridge: string,
  runThere: (program: string, ...args: string[]) => Promise<string>,
): Promise<void> {
  // Only for packets of pods, because the machine may have a metadata service of its own.
  const { address, port } = ports.nodeAgents;
  for (const agent of agentAddresses) {
    const match = ["-i", podBridge, "-d", agent, "-p", "tcp", "--dport", "80"];
    const target = ["-j", "DNAT", "--to-destination", `${address}:${String(port)}`];
    await runThere("iptables", "-t", "nat", "-A", "PREROUTING", ...match, ...target);
  }
}

/** Undoes all changes. Every step can be repeated, and works where the cloud never started. */
export async function restoreHost(): Promise<void> {
  for (const family of ["iptables", "ip6tables"]) await removeRules(family);
  await unmountBelow(home);
  for (const group of await controlGroups("k8s.io")) await removeGroup(group);
  if (existsSync(`/sys/class/net/${bridge.name}`)) await run("ip", ["link", "delete", bridge.name]);
  if (!existsSync(savedSettings)) return;
  const values = JSON.parse(await readFile(savedSettings, "utf8")) as Record<string, string>;
  for (const [name, value] of Object.entries(values)) await writeFile(join("/proc/sys", name), value);
}

/**
 * Removes the rules of the cloud and those of kube-proxy, whose chains all begin with KUBE-. kube-proxy's own clean-up leaves one of
 * these chains, with the rules that jump to it.
 */
async function removeRules(family: string): Promise<void> {
  const rules = (await run(`${family}-save`, [])).split("\n");
  const own = ["KUBE-", chain, `-i ${bridge.name} `];
  const others = rules.filter((line) => !own.some((part) => line.includes(part)));
  if (others.length === rules.length) return;
  await run(`${family}-restore`, [], { input: others.join("\n") });
}

/** Unmounts everything that is mounted below a folder. */
export async function unmountBelow(folder: string): Promise<void> {
  const mounted = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" ")[1] ?? "");
  for (const point of mounted.filter((one) => one.startsWith(`${folder}/`)).reverse())
    await run("umount", ["--lazy", point]);
}

/** The folders of a control group of pods. containerd creates one tree in each hierarchy and leaves it empty. */
export async function controlGroups(name: string): Promise<string[]> {
  const mounts = (await readFile("/proc/self/mounts", "utf8")).split("\n").map((line) => line.split(" "));
  const hierarchies = mounts.filter(([, , type]) => type === "cgroup" || type === "cgroup2");
  return hierarchies.map(([, point]) => join(String(point), name)).filter(existsSync);
}

/** Removes the folder of a control group, and those below it, unless processes run there. */
export async function removeGroup(group: string): Promise<void> {
  const children = (await readdir(group, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  for (const { name } of children) await removeGroup(join(group, name));
  await rmdir(group).catch((error: unknown) => {
    // A containerd outside the local cloud has processes in it.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EBUSY" && code !== "ENOTEMPTY") throw error;
  });
}
