// `npm run soak`: the helper for 20 minutes, or as long as one likes, with tokens that live for 30 seconds, among namespaces
// that come and go and faults of everything it depends on. At no moment may a namespace be without a credential that the
// registry takes; credential-check.ts has the rules. It has an API server and an etcd of its own and the local cloud's AWS. Faults
// come one after the other, now and then one of each side at once; each is shorter than what is left of a token at the time
// of its refresh, and the next comes when all is right again: two in a row could be longer than that. Now and then one is
// declared, and longer than a token lives. The helper is killed in the first part only: the rest is one life, in which memory,
// handles and sockets should stay as they are. With `--hostile` nothing fails, but five of fifty namespaces are those of somebody
// hostile: after a fifth of the time, in which they are quiet, they do to their own objects what they can. SIGINT ends it early,
// with its summary.
import { parseArgs } from "node:util";
import { globalSetup, globalTeardown } from "../setup.ts";
import { startDisposableCluster } from "../support/disposable-cluster.ts";
import { pick, seeded, shuffled } from "../support/seeded.ts";
import { grace } from "./credential-check.ts";
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
/** `--only REGEX` leaves the other faults out. */
const wanted = faultKinds.filter(({ side, name }) => new RegExp(values.only ?? "").test(`${side} ${name}`));
/** When the first declared outage begins, and then every so often. */
const [firstOutage, outageEvery] = [1.5 * minute, 4 * minute];
/** The helper is killed every so often, in this part of the time. */
const [killEvery, killedPart] = [Math.min(3 * minute, length / 6), 0.4];
/** A fault is no longer than 8 seconds: a token lives 15 more when its refresh is due. */
const [shortest, longest] = [2_000, 8_000];

/** Deals every fault once before any comes again; now and then one of the other side with it. */
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

async function suffer(soak: Soak): Promise<void> {
  const random = seeded(seed + 1);
  const deal = dealer(random);
  const start = Date.now();
  const end = setTimeout(() => soak.over.abort(), length);
  soak.over.signal.addEventListener("abort", () => clearTimeout(end));
  let [nextOutage, nextKill] = [firstOutage, killEvery];
  let side: Side = pick(["ecr", "kubernetes"], random);
  while (!soak.over.signal.aborted) {
    // Faults that move a namespace's five seconds leave room for them: else nothing young would ever have to be right.
    const room = soak.periods.at(-1)?.blocksApiServer === true ? grace : 0;
    await soak.pause(room + 500 + random() * 2_000);
    const passed = Date.now() - start;
    if (passed > nextOutage) {
      nextOutage += outageEvery;
      await soak.outage(side);
      side = side === "ecr" ? "kubernetes" : "ecr";
    } else if (passed > nextKill && passed < length * killedPart) {
      nextKill += killEvery;
      await soak.kill(random() * 2_000);
    } else {
      await soak.injectFaults(deal(), shortest + random() * (longest - shortest));
    }
  }
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
      else await suffer(soak);
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
  const alive = `${String(soak.churn.since.size)} namespaces`;
  const seen = `${String(samples)} samples, ${String(checks)} credentials checked, ${String(moments)} moments without`;
  return `${passed} min: ${alive}, ${String(all)} faults, ${seen}, ${memory.toFixed(0)} MB`;
}

await main();
