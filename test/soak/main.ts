// `npm run soak`: runs two helpers for 20 minutes, or for `--minutes N`, with tokens that live for a minute, while namespaces are
// created and deleted and faults are injected into everything that the helper depends on. Every namespace must always have a
// credential that the registry accepts; credential-check.ts has the rules. The soak starts its own API server and etcd, and uses
// the local cloud's AWS.
//
// Faults follow each other; sometimes one of each side is active at once. Each is shorter than the rest of a token's life when its
// refresh is due. The next one starts only when all credentials are valid again, because two in a row could be longer than that
// rest. Some outages are declared, and longer than a token lives. The helper that works is restarted, or the other one takes over
// because it is killed, ended, stopped or cut off; the last two only after the first part, so that both processes run to the end:
// their memory, handles and sockets should not grow.
//
// With `--hostile` no faults are injected. Instead, five of fifty namespaces belong to hostile tenants, who are quiet for a fifth
// of the time and then attack the helper's objects in them. SIGINT ends the soak early, with its summary.
import { parseArgs } from "node:util";
import { globalSetup, globalTeardown } from "../setup.ts";
import { startDisposableCluster } from "../support/disposable-cluster.ts";
import { pick, seeded, shuffled } from "../support/seeded.ts";
import { grace } from "./credential-check.ts";
import { takeoverKinds } from "./helper-pair.ts";
import { faultKinds, type FaultKind, type Side } from "./faults.ts";
import { Soak } from "./soak.ts";
import { attack, hostileRows } from "./hostile.ts";
import { rowsOf, summaryOf } from "./summary.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    seed: { type: "string" },
    only: { type: "string" },
    hostile: { type: "boolean", default: false },
  },
});
const minute = 60_000;
const length = Number(values.minutes) * minute;
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
/** `--only REGEX` selects the faults. */
const wanted = faultKinds.filter(({ side, name }) => new RegExp(values.only ?? "").test(`${side} ${name}`));
/** The start of the first declared outage, and the interval between two, in milliseconds. */
const [firstOutage, outageEvery] = [1.5 * minute, 4 * minute];
/** The interval between two takeovers or restarts in milliseconds, and the part of the soak in which processes end. */
const [takeoverEvery, endingPart] = [Math.min(1.5 * minute, length / 8), 0.4];
/** A fault lasts 8 seconds at most, a takeover 17: a token is valid for 30 more seconds when its refresh is due. */
const [shortest, longest] = [2_000, 8_000];

/** Chooses every fault once before any is repeated; sometimes it adds one of the other side. */
function dealer(random: () => number): () => FaultKind[] {
  let deck: FaultKind[] = [];
  return () => {
    if (deck.length === 0) deck = shuffled(wanted, random);
    const [first] = deck.splice(0, 1);
    if (first === undefined) throw new Error("unreachable: there are kinds of faults");
    const others = deck.filter(({ side }) => side !== first.side);
    if (others.length === 0 || random() > 0.2) return [first];
    const second = pick(others, random);
    deck = deck.filter((one) => one !== second);
    return [first, second];
  };
}

/** Injects faults, declares outages and has the helpers take over until the soak's time is over. */
async function injectFaults(soak: Soak): Promise<void> {
  const random = seeded(seed + 1);
  const deal = dealer(random);
  const start = Date.now();
  const end = setTimeout(() => soak.over.abort(), length);
  soak.over.signal.addEventListener("abort", () => clearTimeout(end));
  let [nextOutage, nextTakeover] = [firstOutage, takeoverEvery];
  let side: Side = pick(["ecr", "kubernetes"], random);
  while (!soak.over.signal.aborted) {
    // After a fault that postpones the deadlines, waits until they have passed: otherwise new namespaces would never be checked.
    const room = soak.periods.at(-1)?.blocksApiServer === true ? grace : 0;
    await soak.pause(room + 500 + random() * 2_000);
    const passed = Date.now() - start;
    if (passed > nextOutage) {
      nextOutage += outageEvery;
      await soak.outage(side);
      side = side === "ecr" ? "kubernetes" : "ecr";
    } else if (passed > nextTakeover) {
      nextTakeover += takeoverEvery;
      await disturb(soak, passed < length * endingPart, random);
    } else {
      await soak.injectFaults(deal(), shortest + random() * (longest - shortest));
    }
  }
}

/** Restarts the helper that works, or has the other one take over. */
async function disturb(soak: Soak, mayEnd: boolean, random: () => number): Promise<void> {
  const kinds = mayEnd ? (["restarted", ...takeoverKinds] as const) : (["stopped", "cut off"] as const);
  const kind = pick(kinds, random);
  if (kind === "restarted") await soak.restart(random() * 2_000);
  else await soak.takeOver(kind, random() * 5_000);
}

async function main(): Promise<void> {
  console.log(`seed ${String(seed)}, ${values.minutes} minutes`);
  await globalSetup();
  const cluster = await startDisposableCluster();
  try {
    const since = performance.now();
    const soak = await Soak.start(cluster, seed, values.hostile ? { calm: 45, attacked: 5 } : {});
    process.once("SIGINT", () => soak.over.abort());
    const progress = setInterval(() => console.log(progressOf(soak, since)), minute);
    try {
      if (values.hostile)
        console.table(hostileRows(await attack(soak, seed, { quiet: length / 5, attack: length * 0.8 })));
      else await injectFaults(soak);
    } finally {
      clearInterval(progress);
      await soak.end();
    }
    const summary = summaryOf(soak, seed, since);
    console.table(rowsOf(summary));
    for (const line of [...summary.wrong, ...soak.linesBeforeFailure]) console.log(line);
    console.log(JSON.stringify(summary));
    if (summary.moments > 0 || soak.errors.length > 0) process.exitCode = 1;
  } finally {
    await cluster.remove();
    await globalTeardown();
  }
}

function progressOf(soak: Soak, since: number): string {
  const { samples, checks, moments, faults, memory } = summaryOf(soak, seed, since);
  const passed = ((performance.now() - since) / minute).toFixed(0);
  const all = Object.values(faults).reduce((sum, count) => sum + count, 0);
  const namespaces = `${String(soak.churn.since.size)} namespaces`;
  const results = `${String(samples)} samples, ${String(checks)} credentials checked, ${String(moments)} moments without`;
  return `${passed} min: ${namespaces}, ${String(all)} faults, ${results}, ${memory.toFixed(0)} MB`;
}

await main();
