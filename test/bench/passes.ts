// What the passes of one helper over all namespaces cost: the first, refreshes, and one that has nothing to write.
import { freePort } from "../support/api-server.ts";
import type { DisposableCluster } from "../support/disposable-cluster.ts";
import type { HelperProcess, LogLine } from "../support/helper-process.ts";
import type { Parts } from "../support/stack-parts.ts";
import type { Gateway } from "../local/gateway/main.ts";
import { url } from "../local/settings.ts";
import type { Bench } from "./bench.ts";
import { maxNamespaces, type RawWriter } from "./raw-writer.ts";
import { mean, median, rounded } from "./statistics.ts";
import { requests, startMeter, usage, type Cost } from "./usage.ts";
import { ways } from "./writers.ts";

/** Figures by what they are of. */
export type Figures = Record<string, number | string>;

/** How many namespaces there are, and how many secrets in each. */
interface Size {
  readonly namespaces: number;
  readonly secretCount: number;
}

/** How many refreshes are measured, each between two rounds of the raw writer. The figures are medians. */
const rounds = 3;
/**
 * In milliseconds: long enough to write all secrets in each way, and in a refresh, at 300/s before the next refresh, at half of it
 * less a random tenth.
 */
const tokenLifeFor = ({ namespaces, secretCount }: Size): number =>
  22_000 + ((namespaces * secretCount) / 2 + Object.keys(ways).length * Math.min(namespaces, maxNamespaces)) * 15;

const since = (start: number): number => (performance.now() - start) / 1000;
const timeOf = ({ time = "" }: LogLine): number => Date.parse(time);

/** Measures a first pass over so many namespaces, refreshes of them, a restart with nothing to write, and the ways to write. */
export async function passes(
  { parts, gateway }: Bench,
  cluster: DisposableCluster,
  writer: RawWriter,
  size: Size,
): Promise<{ figures: Figures; ways: Record<string, Figures> }> {
  const port = await freePort();
  const issuing = await gateway(tokenLifeFor(size));
  const start = performance.now();
  const helper = parts.run({ AWS_ENDPOINT_URL: url(issuing.api), ECR_HELPER_PORT: String(port) });
  const first = timeOf(await helper.line(/configured in namespace/, 0, 600_000));
  await helper.line(/the secret will expire/, 0, 600_000);
  const [pass, { cpu }] = [since(start), usage(helper.pid)];
  const [refreshes, raws]: [Refresh[], Map<string, Cost>[]] = [[], [await writer.round()]];
  for (let round = 1; round <= rounds; round++) {
    refreshes.push(await refresh(helper, port, cluster, size.secretCount * size.namespaces));
    raws.push(await writer.round());
  }
  const { resident, peak } = usage(helper.pid);
  await helper.stop();
  const again = await restart(parts, issuing, port);
  await issuing.close();
  const figures = {
    namespaces: size.namespaces,
    "first secret, ms": rounded(first - (performance.timeOrigin + start), 0),
    "start and first pass, s": rounded(pass, 2),
    "start and first pass, CPU, s": rounded(cpu, 2),
    ...refreshFigures(refreshes, raws, await writer.sequential()),
    "resident after, MB": rounded(resident),
    "peak, MB": rounded(peak),
    ...again,
  };
  return { figures, ways: Object.fromEntries(waysOf(raws).map(([way, costs]) => [way, costFigures(costs)])) };
}

interface Refresh {
  /** From its first secret to its last; its CPU times are those of the servers and of the helper. */
  readonly cost: Cost;
  readonly calls: string;
}

/** Measures the helper's next refresh. */
async function refresh(
  helper: HelperProcess,
  port: number,
  { pids }: DisposableCluster,
  secrets: number,
): Promise<Refresh> {
  const [callsBefore, from] = [await requests(port), helper.lines.length];
  const begun = timeOf(await helper.line(/secret\/\S+ configured/, from, 600_000));
  // Begins after the wait for the refresh, which costs the servers something too.
  const stop = startMeter({ ...pids, helper: helper.pid });
  const ended = timeOf(await helper.line(/the secret will expire/, from, 600_000));
  const seconds = (ended - begun) / 1000;
  const cost = { ...stop(secrets), seconds, rate: secrets / seconds };
  const calls = Object.entries(await requests(port))
    .map(([name, count]): [string, number] => [name, count - (callsBefore[name] ?? 0)])
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} ${String(count)}`);
  return { cost, calls: calls.join(", ") };
}

/** The costs of each way in every round. */
const waysOf = (raws: readonly Map<string, Cost>[]): [string, Cost[]][] =>
  Object.keys(ways).map((way) => [way, raws.map((one) => one.get(way)).filter((cost) => cost !== undefined)]);

const rateOf = (costs: readonly Cost[]): number => median(costs.map(({ rate }) => rate));

/** Medians of what was written in one way. */
const costFigures = (costs: readonly Cost[]): Figures => ({
  "secrets/s": rounded(rateOf(costs), 0),
  ...Object.fromEntries(
    Object.keys(costs[0]?.cpu ?? {}).map((name) => [
      `CPU of ${name}, ms`,
      rounded(median(costs.map(({ cpu }) => cpu[name] ?? NaN)), 2),
    ]),
  ),
  "busy cores": rounded(median(costs.map(({ busy }) => busy)), 2),
});

/** Compares refreshes with the best way to write just before and after each, and with get and update in turn. */
function refreshFigures(
  refreshes: readonly Refresh[],
  raws: readonly Map<string, Cost>[],
  sequential: number,
): Figures {
  const costs = refreshes.map(({ cost }) => cost);
  const [best = ["", []]] = waysOf(raws).sort(([, left], [, right]) => rateOf(right) - rateOf(left));
  const [way, limits] = best;
  const beside = costs.map(({ rate }, index) => rate / mean(limits.slice(index, index + 2).map((one) => one.rate)));
  return {
    "refresh, s": rounded(median(costs.map(({ seconds }) => seconds)), 2),
    ...Object.fromEntries(Object.entries(costFigures(costs)).map(([name, figure]) => [`refresh, ${name}`, figure])),
    "best raw writer": way,
    "best raw writer, secrets/s": rounded(rateOf(limits), 0),
    "get and update in turn, secrets/s": rounded(sequential, 0),
    "refresh, of the best raw writer": rounded(median(beside), 2),
    "refresh, of get and update in turn": rounded(rateOf(costs) / sequential, 1),
    "calls of a refresh": refreshes.at(-1)?.calls ?? "",
  };
}

/** Measures the start of a helper that has nothing to write. */
async function restart(parts: Parts, issuing: Gateway, port: number): Promise<Figures> {
  const start = performance.now();
  const helper = parts.run({ AWS_ENDPOINT_URL: url(issuing.api), ECR_HELPER_PORT: String(port) });
  const [deployment, done] = [
    await helper.line(/^Deployment/),
    await helper.line(/the secret will expire/, 0, 600_000),
  ];
  const writes = Object.entries(await requests(port)).filter(([name]) =>
    /^(apply|create|patch|update) (secrets|serviceaccounts)$/.test(name),
  );
  const figures = {
    "start where all is right, s": rounded(since(start), 2),
    "of it the pass, ms": timeOf(done) - timeOf(deployment),
    "writes of that start": writes.reduce((sum, [, count]) => sum + count, 0),
    "resident then, MB": rounded(usage(helper.pid).resident),
  };
  await helper.stop();
  return figures;
}
