// Cuts a connection within this machine as a cable is cut.
import { cutChain } from "../local/firewall.ts";
import { run } from "../local/process.ts";

/**
 * Drops every packet to and from the ports of these URLs, or no longer drops them. Connections stay open on both sides, and the kernel
 * sends again what was not confirmed.
 */
export async function setCut(urls: readonly string[], isCut: boolean): Promise<void> {
  // As they arrive: a sender does not notice.
  for (const url of urls)
    for (const side of ["--dport", "--sport"]) {
      const rule = [cutChain, "-i", "lo", "-p", "tcp", side, new URL(url).port, "-j", "DROP"];
      await run("iptables", ["--wait", "-t", "mangle", isCut ? "-A" : "-D", ...rule]);
    }
}
