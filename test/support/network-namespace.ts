// Network namespaces to try connections from: that of a pod, and one of somebody outside who is wired to this machine.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { run } from "../local/process.ts";

export interface Target {
  readonly address: string;
  readonly port: number;
}

/** How long a connection may take. Nothing is further away than a cable's other end. */
const timeout = 1_500;

/** Connects to all targets at once and prints which of them accepted, as JSON. */
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

/** The targets that accept a connection, from inside of a namespace; `enter` is the command that leads there, if any. */
export async function reachableTargets(targets: readonly Target[], enter: readonly string[] = []): Promise<Target[]> {
  const accepted = await run("env", [...enter, process.execPath, "-e", probeScript, JSON.stringify(targets)]);
  return JSON.parse(accepted) as Target[];
}

/** Accepts connections inside of a namespace. Resolves as soon as it does so. */
export async function listen(port: number, enter: readonly string[]): Promise<ChildProcess> {
  const command = [...enter, process.execPath, "-e", listenerScript, String(port)];
  const child = spawn("env", command, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit").then(async () => Promise.reject(new Error("nothing listens in the namespace")));
  await Promise.race([once(child.stdout, "data"), ended]);
  ended.catch(() => undefined);
  return child;
}

/** What leads into the namespace of a process. */
export const namespaceOf = (pid: number): string[] => ["nsenter", `--target=${String(pid)}`, "--net"];

/** Addresses that are reserved for documentation, of this machine's end of the cable and of the other one. */
const link = { near: ["198.51.100.1/30", "2001:db8:77::1/64"], far: ["198.51.100.2/30", "2001:db8:77::2/64"] };

/** Somebody outside: a namespace with a cable to this machine, who takes it for the way to everywhere. */
export class ExternalHost {
  readonly enter: readonly string[];
  readonly #name: string;

  private constructor(name: string) {
    this.#name = name;
    this.enter = ["ip", "netns", "exec", name];
  }

  /** `name` is the namespace's and that of this machine's end of the cable: 15 characters at most. */
  static async connect(name: string): Promise<ExternalHost> {
    const outsider = new ExternalHost(name);
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
    return outsider;
  }

  /** Removes the namespace, and with it the cable. */
  async remove(): Promise<void> {
    await run("ip", ["netns", "delete", this.#name]);
  }
}

/** An IPv6 address is not to be looked for on the cable before it is used. */
const skipDuplicateDetection = (address: string): string[] => (address.includes(":") ? ["nodad"] : []);
