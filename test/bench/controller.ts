// `npm run bench`: measures what the helper costs and how fast it is, with a disposable API server and etcd and the local
// cloud's AWS. Prints tables, and the same figures as JSON. Asserts nothing.
import { randomBytes } from "node:crypto";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { inParallel } from "../../helper/runtime/parallel.ts";
import { freePort } from "../support/api-server.ts";
import type { HelperProcess, LogLine } from "../support/helper-process.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { loopback, ports, url } from "../local/settings.ts";
import { startDisposableCluster } from "../support/disposable-cluster.ts";
import { globalSetup, globalTeardown } from "../setup.ts";
import { imageFigures } from "./image.ts";
import { programTime } from "./program.ts";
import type { Bench } from "./bench.ts";
import { latencies } from "./latencies.ts";
import { mean, median, rounded } from "./statistics.ts";
import { machineTime, requests, usage } from "./usage.ts";
import { createWriter, type Writer } from "./writer-stack.ts";
import { newSecrets, writeRaw, writeSequentially } from "./writers.ts";

const { values } = parseArgs({
  options: { namespaces: { type: "string", default: "10,1000,10000" }, samples: { type: "string", default: "200" } },
});
const sizes = values.namespaces.split(",").map(Number);
const samples = Number(values.samples);

interface Figures {
  namespaces: number;
  [figure: string]: number | string;
}

const since = (start: number): number => (performance.now() - start) / 1000;

/** How many refreshes are measured, each between two rounds of the raw writer. The figures are medians. */
const rounds = 3;
/** In milliseconds: long enough to write all secrets at 300/s before a refresh, at half of it less a random tenth. */
const tokenLifeFor = (namespaces: number): number => 22_000 + namespaces * 30;

/** Measures a first pass over all namespaces, refreshes of them, and a restart with nothing to write. */
async function passes({ id, parts, gateway }: Bench, writer: Writer, namespaces: number): Promise<Figures> {
  const port = await freePort();
  const issuing = await gateway(tokenLifeFor(namespaces));
  const start = performance.now();
  const helper = parts.run({ AWS_ENDPOINT_URL: url(issuing.api), ECR_HELPER_PORT: String(port) });
  const first = timeOf(await helper.line(/configured in namespace/, 0, 600_000));
  await helper.line(/the secret will expire/, 0, 600_000);
  const pass = since(start);
  const names = namesOf(id, namespaces);
  await writeRaw(writer.options, names, newSecrets(writer.env, 0)); // Not measured: these writes create the secrets.
  const [refreshes, raws]: [Refresh[], Raw[]] = [[], [await raw(writer, names, 1)]];
  for (let round = 1; round <= rounds; round++) {
    refreshes.push(await refresh(helper, port, namespaces));
    raws.push(await raw(writer, names, round + 1));
  }
  const { resident, peak } = usage(helper.pid);
  await helper.stop();
  const again = await restart(parts, issuing, port);
  await issuing.close();
  // One write after the other: a thousand namespaces are enough for the rate.
  const sequential = await sequentially(writer, names.slice(0, 1_000));
  const [rate, limit] = [median(refreshes.map((one) => one.rate)), median(raws.map((one) => one.rate))];
  const beside = refreshes.map((one, index) => one.rate / mean(raws.slice(index, index + 2).map((two) => two.rate)));
  return {
    namespaces,
    "first secret, ms": rounded(first - (performance.timeOrigin + start), 0),
    "first pass, s": rounded(pass, 2),
    "refresh, s": rounded(median(refreshes.map(({ seconds }) => seconds)), 2),
    "refresh, secrets/s": rounded(rate, 0),
    "raw writer, secrets/s": rounded(limit, 0),
    "get and update in turn, secrets/s": rounded(sequential, 0),
    "refresh, of the raw writer": rounded(median(beside), 2),
    "refresh, of get and update in turn": rounded(rate / sequential, 1),
    "raw writer, of get and update in turn": rounded(limit / sequential, 1),
    "calls of a refresh": refreshes.at(-1)?.calls ?? "",
    "CPU of a refresh, s": rounded(median(refreshes.map(({ cpu }) => cpu)), 2),
    "CPU of a refresh, cores": rounded(median(refreshes.map(({ cpu, seconds }) => cpu / seconds)), 2),
    "CPU of a written secret, ms": rounded((median(refreshes.map(({ cpu }) => cpu)) * 1000) / (2 * namespaces), 2),
    "CPU of the raw writer's, ms": rounded(median(raws.map(({ cpu }) => cpu)), 2),
    // If all cores are busy, the machine limits the rate, not the writer.
    [`cores of ${String(cpus().length)} that are busy when it writes`]: rounded(
      median(raws.map(({ busy }) => busy)),
      2,
    ),
    "resident after, MB": rounded(resident),
    "peak, MB": rounded(peak),
    ...again,
  };
}

const timeOf = ({ time = "" }: LogLine): number => Date.parse(time);

interface Refresh {
  readonly seconds: number;
  readonly rate: number;
  /** CPU time of the helper, in seconds. */
  readonly cpu: number;
  readonly calls: string;
}

/** Measures the helper's next refresh, from its first secret to its last. */
async function refresh(helper: HelperProcess, port: number, namespaces: number): Promise<Refresh> {
  const [callsBefore, cpuBefore, from] = [await requests(port), usage(helper.pid).cpu, helper.lines.length];
  const begun = timeOf(await helper.line(/secret\/\S+ configured/, from, 600_000));
  const ended = timeOf(await helper.line(/the secret will expire/, from, 600_000));
  const cpu = usage(helper.pid).cpu - cpuBefore;
  const calls = Object.entries(await requests(port))
    .map(([name, count]): [string, number] => [name, count - (callsBefore[name] ?? 0)])
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${String(count)}`);
  const seconds = (ended - begun) / 1000;
  return { seconds, rate: (2 * namespaces) / seconds, cpu, calls: calls.join(", ") };
}

const namesOf = (id: string, namespaces: number): string[] =>
  Array.from({ length: namespaces }, (_, index) => `${id}-${String(index)}`);

interface Raw {
  /** In secrets per second. */
  readonly rate: number;
  /** CPU time per secret, in milliseconds. */
  readonly cpu: number;
  /** Busy cores of the machine. */
  readonly busy: number;
}

/** Measures how fast the API server takes the same secrets while the helper watches, and what a write costs. */
async function raw({ options, env }: Writer, names: readonly string[], round: number): Promise<Raw> {
  const [before, ofAll] = [process.cpuUsage(), machineTime()];
  const took = await writeRaw(options, names, newSecrets(env, round));
  const busy = (machineTime() - ofAll) / took;
  const { user, system } = process.cpuUsage(before);
  return { rate: (2 * names.length) / took, cpu: (user + system) / 1000 / (2 * names.length), busy };
}

/** Measures how fast secrets are written as other tools do, one after the other. */
async function sequentially({ options, env }: Writer, names: readonly string[]): Promise<number> {
  return (2 * names.length) / (await writeSequentially(options, names, newSecrets(env, rounds + 2)));
}

/** Measures the start of a helper that has nothing to write. */
async function restart(parts: Parts, issuing: Gateway, port: number): Promise<Record<string, number>> {
  const start = performance.now();
  const helper = parts.run({ AWS_ENDPOINT_URL: url(issuing.api), ECR_HELPER_PORT: String(port) });
  const [deployment, done] = [
    await helper.line(/^Deployment/),
    await helper.line(/the secret will expire/, 0, 600_000),
  ];
  const writes = Object.entries(await requests(port)).filter(([name]) => /^(apply|patch)/.test(name));
  const figures = {
    "start where all is right, s": rounded(since(start), 2),
    "of it the pass, ms": Date.parse(done["time"] ?? "") - Date.parse(deployment["time"] ?? ""),
    "writes of that start": writes.reduce((sum, [, count]) => sum + count, 0),
    "resident then, MB": rounded(usage(helper.pid).resident),
  };
  await helper.stop();
  return figures;
}

async function main(): Promise<void> {
  await globalSetup();
  const cluster = await startDisposableCluster();
  const { kubeconfig, command } = cluster;
  const any = { address: loopback, port: 0 };
  const gateway = async (tokenLife: number): Promise<Gateway> =>
    startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  const all: Figures[] = [];
  try {
    for (const namespaces of sizes) {
      const id = `bench-${randomBytes(3).toString("hex")}`;
      const parts = await makeParts([`${id}-*`], { kubeconfig, command });
      const writer = await createWriter(id, { kubeconfig, command });
      try {
        await inParallel(namesOf(id, namespaces), 32, async (name) => parts.namespace(name));
        all.push(await passes({ id, parts, gateway }, writer, namespaces));
        console.error(all.at(-1));
      } finally {
        await parts.removeFromAws();
        await writer.removeFromAws();
      }
    }
    const id = `bench-${randomBytes(3).toString("hex")}`;
    const parts = await makeParts([`${id}-*`], { kubeconfig, command });
    const helper = parts.run();
    await helper.line(/the secret will expire/);
    const found = await latencies({ id, parts, gateway }, samples);
    await parts.removeFromAws();
    const [program, image] = [await programTime(), await imageFigures()];
    for (const figures of [...all, found, program, image]) console.table(figures);
    console.log(JSON.stringify({ passes: all, latencies: found, program, image }));
  } finally {
    await cluster.remove();
    await globalTeardown();
  }
}

await main();
