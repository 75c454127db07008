// Firewall rules that let only this machine and its pods reach the local cloud. Without them others could: Linux accepts packets
// for any of its addresses on every interface and may forward packets to pods, and kube-proxy opens node ports on every address.
import { bridge, loopback, secondNetwork, serviceRange } from "./settings.ts";
import { run, succeeds } from "./process.ts";

/** The chain with all the rules. It is in the table `mangle`, because kube-proxy puts its accepting rules first in `filter`. */
export const chain = "ECR-HELPER";

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
  for (const hook of hooks) {
    const jump = [hook, "-j", chain];
    if (await succeeds(run("iptables", ["-t", "mangle", "-C", ...jump]))) continue;
    await run("iptables", ["-t", "mangle", "-I", ...jump]);
  }
}
