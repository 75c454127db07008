// Network namespaces from which tests try to connect: a pod's, and that of an external host on a cable to this machine.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { run } from "../local/process.ts";

/** A TCP address to connect to. */
export interface Target {
  readonly address: string;
  readonly port: number;
}

/** The longest that a connection may take, in milliseconds: every target is at most one cable away. */
const timeout = 1_500;

/** Connects to all targets at once, and prints those that accepted, as JSON. */
const probeScript = `
  const { connect } = require("node:net");
  const accepts = ({ address, port }) => new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: ${String(timeout)} });
    const end = (accepted) => () => { socket.destroy(); resolve(accepted); };
    socket.on("connect", end(true)).on("timeout", end(false)).on("error", end(false));
  });
  const targets = JSON.parse(process.argv[1]);
  Promise.all(targets.map(accepts)).then((all) => console.log(JSON.stringify(targets.filter((_, index) => all[index]))));
`;

const listenerScript = `
  require("node:net").createServer((socket) => socket.end()).listen(Number(process.argv[1]), () => console.log("listens"));
`;

/** The targets that accept a connection. `enter` is a command that runs the probe in another network namespace. */
export async function reachableTargets(targets: readonly Target[], enter: readonly string[] = []): Promise<Target[]> {
  const accepted = await run("env", [...enter, process.execPath, "-e", probeScript, JSON.stringify(targets)]);
  return JSON.parse(accepted) as Target[];
}

/** Starts a process that accepts connections in a network namespace. Resolves as soon as it listens. */
export async function listen(port: number, enter: readonly string[]): Promise<ChildProcess> {
  const command = [...enter, process.execPath, "-e", listenerScript, String(port)];
  const child = spawn("env", command, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit").then(async () => Promise.reject(new Error("nothing listens in the namespace")));
  await Promise.race([once(child.stdout, "data"), ended]);
  ended.catch(() => undefined);
  return child;
}

/** The command that runs another one in the network namespace of a process. */
export const namespaceOf = (pid: number): string[] => ["nsenter", `--target=${String(pid)}`, "--net"];

/** The addresses of both ends of the cable; they are reserved for documentation. */
const link = { near: ["198.51.100.1/30", "2001:db8:77::1/64"], far: ["198.51.100.2/30", "2001:db8:77::2/64"] };

/** An external host: a network namespace with a cable to this machine, which is its default gateway. */
export class ExternalHost {
  readonly enter: readonly string[];
  readonly #name: string;

  private constructor(name: string) {
    this.#name = name;
    this.enter = ["ip", "netns", "exec", name];
  }

  /** Creates the host. `name` is that of the namespace and of this machine's interface: 15 characters at most. */
  static async connect(name: string): Promise<ExternalHost> {
    const host = new ExternalHost(name);
    const inside = async (...args: string[]): Promise<string> => run("ip", ["-netns", name, ...args]);
    await run("ip", ["netns", "add", name]);
    await run("ip", ["link", "add", name, "type", "veth", "peer", "name", "cable", "netns", name]);
    for (const address of link.near)
      await run("ip", ["address", "add", address, "dev", name, ...skipDuplicateDetection(address)]);
    await run("ip", ["link", "set", name, "up"]);
    for (const address of link.far)
      await inside("address", "add", address, "dev", "cable", ...skipDuplicateDetection(address));
    await inside("link", "set", "cable", "up");
    for (const address of link.near) await inside("route", "add", "default", "via", String(address.split("/")[0]));
    return host;
  }

  /** Removes the namespace, and with it the cable. */
  async remove(): Promise<void> {
    await run("ip", ["netns", "delete", this.#name]);
  }
}

/** Lets IPv6 addresses be used at once, without the search for duplicates on the cable. */
const skipDuplicateDetection = (address: string): string[] => (address.includes(":") ? ["nodad"] : []);
