// Who reaches the local cloud: this machine and its pods. A Linux machine answers at all of its addresses whatever interface
// asks, forwards to pods where it forwards at all, and kube-proxy opens node ports on every address; so what comes from
// elsewhere is dropped.
import { bridge, loopback, serviceRange } from "./settings.ts";
import { run, succeeds } from "./process.ts";

/** The chain with all the rules, in the table `mangle`: kube-proxy puts its own, which accept, before others in `filter`. */
export const chain = "ECR-HELPER";

/** Both come after kube-proxy has put a pod's address in the place of a service's. */
const hooks = ["INPUT", "FORWARD"];

const rules = [
  ...["lo", bridge.name].map((own) => `-i ${own} -j RETURN`),
  // Answers to what pods and this machine asked others for.
  "-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
  ...[bridge.podRange, serviceRange, loopback].map((own) => `-d ${own} -j DROP`),
];

/** Makes the rules, or makes them anew where they are there. */
export async function dropOutsideTraffic(): Promise<void> {
  const lines = ["*mangle", `:${chain} - [0:0]`, ...rules.map((rule) => `-A ${chain} ${rule}`), "COMMIT", ""];
  // Without flushing the others; the own chain is emptied first.
  await run("iptables-restore", ["--noflush"], { input: lines.join("\n") });
  for (const hook of hooks) {
    const jump = [hook, "-j", chain];
    if (await succeeds(run("iptables", ["-t", "mangle", "-C", ...jump]))) continue;
    await run("iptables", ["-t", "mangle", "-I", ...jump]);
  }
}
