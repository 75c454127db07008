// `npm run bench:takeover`: how long a new namespace waits when the helper that works is killed, or ended by SIGTERM, while another
// one stands by; and the memory of both. Uses an API server and an etcd of its own, and the local cloud's AWS. Asserts nothing.
import { parseArgs } from "node:util";
import { Contenders, type Contender } from "../faults/contenders.ts";
import { globalSetup, globalTeardown } from "../setup.ts";
import { startDisposableCluster } from "../support/disposable-cluster.ts";
import { median, rounded } from "./statistics.ts";
import { usage } from "./usage.ts";

const { values } = parseArgs({
  options: { namespaces: { type: "string", default: "1000" }, times: { type: "string", default: "20" } },
});

/** The longest wait that is measured, in milliseconds. */
const timeout = 60_000;
/** In milliseconds: no refresh disturbs the figures. */
const tokenLife = 12 * 3_600_000;

/** Ends the holder so many times, each time with another helper that stands by. Resolves with the seconds that each took. */
async function takeovers(
  contenders: Contenders,
  [first, second]: readonly [Contender, Contender],
  signal: NodeJS.Signals,
): Promise<{ seconds: number[]; last: [Contender, Contender] }> {
  let [holder, other] = [first, second];
  const seconds: number[] = [];
  for (let time = 0; time < Number(values.times); time++) {
    const ended = holder.helper.stop(signal);
    seconds.push((await contenders.serveNamespace(timeout)) / 1000);
    await Promise.all([ended, contenders.waitForHolder([other])]);
    [holder, other] = [other, await contenders.start()];
  }
  return { seconds, last: [holder, other] };
}

const figures = (signal: string, seconds: readonly number[]): Record<string, number> => ({
  [`${signal}: new namespace served, median s`]: rounded(median(seconds), 2),
  [`${signal}: worst of ${String(seconds.length)}, s`]: rounded(Math.max(...seconds), 2),
});

async function main(): Promise<void> {
  await globalSetup();
  const cluster = await startDisposableCluster();
  const contenders = await Contenders.create(cluster, { tokenLife });
  try {
    const [holder, other = holder] = await contenders.startAll(2, Number(values.namespaces));
    const memory = {
      namespaces: Number(values.namespaces),
      "resident, works, MB": rounded(usage(holder.helper.pid).resident),
      "resident, stands by, MB": rounded(usage(other.helper.pid).resident),
    };
    const killed = await takeovers(contenders, [holder, other], "SIGKILL");
    const ended = await takeovers(contenders, killed.last, "SIGTERM");
    const all = { ...memory, ...figures("SIGKILL", killed.seconds), ...figures("SIGTERM", ended.seconds) };
    console.table(all);
    console.log(JSON.stringify(all));
  } finally {
    await contenders.remove();
    await cluster.remove();
    await globalTeardown();
  }
}

await main();
