// Firewall rules that let only this machine and its pods reach the local cloud. Without them others could: Linux accepts packets
// for any of its addresses on every interface and may forward packets to pods, and kube-proxy opens node ports on every address.
import { bridge, loopback, secondNetwork, serviceRange } from "./settings.ts";
import { run, succeeds } from "./process.ts";

/** The chain with all the rules. It is in the table `mangle`, because kube-proxy puts its accepting rules first in `filter`. */
export const chain = "ECR-HELPER";

/**
 * The chain with the rules of tests that cut connections within this machine (test/support/cut.ts). A test that is killed leaves them
 * there, and its ports are soon those of other programs.
 */
export const cutChain = `${chain}-CUT`;

/** Both come after kube-proxy has replaced a service's address by a pod's. */
const hooks = ["INPUT", "FORWARD"];

const rules = [
  ...["lo", bridge.name, secondNetwork.interface].map((own) => `-i ${own} -j RETURN`),
  // Responses to requests of pods and of this machine.
  "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
  ...[bridge.podRange, secondNetwork.range, serviceRange, loopback].map((own) => `-d ${own} -j DROP`),
];

/** Creates the rules, or replaces existing ones. */
export async function dropOutsideTraffic(): Promise<void> {
  const lines = ["*mangle", `:${chain} - [0:0]`, ...rules.map((rule) => `-A ${chain} ${rule}`), "COMMIT", ""];
  // --noflush keeps the rules of other chains; the declaration of the own chain empties it.
  await run("iptables-restore", ["--noflush"], { input: lines.join("\n") });
  for (const hook of hooks) await jump(hook, chain);
}

/** Creates the chain of cuts, or empties it. */
export async function createCutChain(): Promise<void> {
  await run("iptables-restore", ["--noflush"], { input: `*mangle\n:${cutChain} - [0:0]\nCOMMIT\n` });
  await jump("INPUT", cutChain);
}

async function jump(hook: string, target: string): Promise<void> {
  const rule = [hook, "-j", target];
  if (await succeeds(run("iptables", ["-t", "mangle", "-C", ...rule]))) return;
  await run("iptables", ["-t", "mangle", "-I", ...rule]);
}
