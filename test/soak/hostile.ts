// A soak with hostile tenants: compares the latencies of other namespaces before and during their attacks.
import type { LogLine } from "../support/helper-process.ts";
import { seeded } from "../support/seeded.ts";
import { HostileTenant } from "./hostile-tenant.ts";
import { grace } from "./credential-check.ts";
import { LatencyProbe, quantile, type Latencies } from "./latency-probe.ts";
import type { Soak } from "./soak.ts";
import { slope, type Usage } from "./usage.ts";

/** What was measured before or during the attack. */
export interface Phase {
  readonly latencies: Latencies;
  readonly usages: readonly Usage[];
  readonly lines: readonly LogLine[];
}

/** What was measured in both phases. */
export interface HostileResult {
  readonly quiet: Phase;
  readonly attack: Phase;
  readonly attackers: readonly HostileTenant[];
  /** The number of Events in each attacked namespace. */
  readonly events: readonly number[];
}

/**
 * Measures a running soak first without and then with an attack, each for some milliseconds. It starts when the namespaces have
 * their credentials. Rejects if a tenant cannot attack.
 */
export async function attack(
  soak: Soak,
  seed: number,
  times: { quiet: number; attack: number },
): Promise<HostileResult> {
  await soak.sampler.until(({ accepted }) => accepted.size > 0, 30_000, soak.over.signal);
  await soak.pause(grace);
  const random = seeded(seed + 2);
  const { parts, attacked } = soak;
  const attackers: HostileTenant[] = [];
  for (const [index, namespace] of attacked.entries())
    attackers.push(await HostileTenant.create({ parts, namespace, random, isFast: index === 0 }));
  const probe = new LatencyProbe(parts, `${soak.prefix}-new`, attacked);
  const quiet = await phase(soak, probe, times.quiet);
  const over = new AbortController();
  const attacking = Promise.all(attackers.map(async (one) => one.attack(over.signal)));
  const underAttack = await Promise.race([
    phase(soak, probe, times.attack),
    attacking.then(async () => Promise.reject(new Error("the attackers gave up"))),
  ]).finally(() => over.abort());
  await attacking;
  for (const [kind, latencies] of Object.entries(underAttack.latencies) as [keyof Latencies, number[]][])
    soak.errors.push(
      ...latencies.filter((one) => one > grace).map((one) => `${kinds[kind]} took ${one.toFixed(0)} ms`),
    );
  const events = await Promise.all(attacked.map(async (namespace) => eventsIn(soak, namespace)));
  return { quiet, attack: underAttack, attackers, events };
}

async function phase(soak: Soak, probe: LatencyProbe, milliseconds: number): Promise<Phase> {
  const usages = soak.usageByProcess.at(-1) ?? [];
  const from = usages.length;
  soak.takeLines();
  const over = new AbortController();
  const stop = soak.pause(milliseconds).then(() => over.abort());
  const latencies = await probe.measure(over.signal);
  await stop;
  return { latencies, usages: usages.slice(from), lines: soak.takeLines() };
}

async function eventsIn({ parts }: Soak, namespace: string): Promise<number> {
  const path = `/api/v1/namespaces/${namespace}/events`;
  return (await parts.admin<{ items: object[] }>({ method: "GET", path })).items.length;
}

/** The number of lines that the helper logged about each of these namespaces. */
export const linesOf = ({ lines }: Phase, namespaces: readonly string[]): number[] =>
  namespaces.map((one) => lines.filter(({ namespace }) => namespace === one).length);

/** The largest resident memory, in MB. */
export const peakOf = ({ usages }: Phase): number => Math.max(...usages.map(({ memory }) => memory));

const kinds = { created: "a new namespace", deleted: "a deleted secret", bare: "a bare GET" } as const;

/** The rows of the result's table: each value before and during the attack, and their ratio. */
export function hostileRows({ quiet, attack, attackers, events }: HostileResult): Record<string, object> {
  const rows: Record<string, object> = {};
  const compare = (what: string, of: (phase: Phase) => number): void => {
    const [before, during] = [of(quiet), of(attack)];
    rows[what] = { quiet: rounded(before), attack: rounded(during), ratio: rounded(during / before) };
  };
  for (const [kind, name] of Object.entries(kinds) as [keyof Latencies, string][]) {
    for (const [word, part] of [
      ["median", 0.5],
      ["p95", 0.95],
      ["worst", 1],
    ] as const)
      compare(`${name}, ${word}, ms`, ({ latencies }) => quantile(latencies[kind], part));
    compare(`${name}, how many`, ({ latencies }) => latencies[kind].length);
  }
  compare("memory at its peak, MB", peakOf);
  compare("memory, MB/hour", ({ usages }) => slope(usages.map(({ at, memory }) => ({ at, value: memory }))));
  const attacked = attackers.map(({ namespace }) => namespace);
  compare("log lines", ({ lines }) => lines.length);
  compare("log lines of attacked namespaces, most", (phase) => Math.max(...linesOf(phase, attacked)));
  rows["log lines of each"] = { attack: linesOf(attack, attacked).join(" ") };
  rows["Events in each"] = { attack: events.join(" ") };
  const accepted = new Map<string, number>();
  for (const { done } of attackers)
    for (const [what, count] of done) accepted.set(what, (accepted.get(what) ?? 0) + count);
  for (const [what, count] of accepted) rows[what] = { attack: count };
  return rows;
}

const rounded = (value: number): number => Number(value.toPrecision(4));
