// `npm run bench`: what the helper costs and how fast it is, with an API server and an etcd of the bench's own, which are
// thrown away, and the local cloud's AWS. Prints a table, and the same as JSON. Nothing is asserted: these are figures.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { inParallel } from "../../helper/runtime/parallel.ts";
import { freePort } from "../support/api-server.ts";
import type { HelperProcess, LogLine } from "../support/helper-process.ts";
import { secretPath } from "../support/kept-objects.ts";
import { makeParts, type Parts, type PartsOptions } from "../support/stack-parts.ts";
import { startFront, type Front } from "../local/gateway/main.ts";
import { loopback, ports, url } from "../local/settings.ts";
import { watch } from "../local/watch.ts";
import { startDisposableCluster } from "../support/disposable-cluster.ts";
import { globalSetup, globalTeardown } from "../setup.ts";
import { imageFigures } from "./image.ts";
import { programTime } from "./program.ts";
import { mean, median, percentile, rounded } from "./statistics.ts";
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

const ecr = "get authorizationtoken";

/** What the kernel says of a process: resident memory now and at its peak, in MB, and CPU time, in seconds. */
function usage(pid: number): { resident: number; peak: number; cpu: number } {
  const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  const megabytes = (field: string): number => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
  const stat =
    readFileSync(`/proc/${String(pid)}/stat`, "utf8")
      .split(") ")[1]
      ?.split(" ") ?? [];
  // The kernel counts in hundredths of a second.
  return { resident: megabytes("VmRSS"), peak: megabytes("VmHWM"), cpu: (Number(stat[11]) + Number(stat[12])) / 100 };
}

/** The CPU time that all processes of the machine have taken, in seconds. */
const machineTime = (): number =>
  cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0) / 1000;

/** The helper's own count of its requests: to the Kubernetes API by verb and resource, and to ECR. */
async function requests(port: number): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
  const counted = /^ecr_helper_kubernetes_requests_total\{verb="(\w+)",resource="(\w+)",code="\d+"\} (\d+)$/gm;
  const ofEcr = text.matchAll(/^ecr_helper_token_requests_total\{.*\} (\d+)$/gm);
  const all: Record<string, number> = { [ecr]: [...ofEcr].reduce((sum, [, count]) => sum + Number(count), 0) };
  for (const [, verb = "", resource = "", count] of text.matchAll(counted)) {
    all[`${verb} ${resource}`] = (all[`${verb} ${resource}`] ?? 0) + Number(count);
  }
  return all;
}

const since = (start: number): number => (performance.now() - start) / 1000;

/** The cluster, its front with tokens of a chosen life, and the parts of a stack that means every namespace of the bench. */
interface Bench {
  readonly id: string;
  readonly parts: Parts;
  readonly front: (tokenLife: number) => Promise<Front>;
}

/**
 * A second stack, with other names for its secrets, and its helper's service account, for the bench's own writers: the API
 * server checks and audits what they ask for as it does a helper's, which an administrator is spared.
 */
async function writerBeside(id: string, options: PartsOptions): Promise<Writer> {
  const parts = await makeParts([`${id}-*`], {
    ...options,
    config: { basicAuthSecret: "raw", pullSecret: "raw-pull" },
  });
  const { admin, cluster, env } = parts;
  // What peers do needs more rights than a helper has.
  const body = {
    metadata: { name: `${id}-writer` },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ kind: "ServiceAccount", name: "ecr-helper", namespace: env["ECR_HELPER_NAMESPACE"] }],
  };
  await admin({ method: "POST", path: "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", body });
  return { ...parts, options: { ...cluster, token: () => cluster.token } };
}

type Writer = Pick<Parts, "options" | "env" | "removeFromAws">;

/** How many refreshes are measured, each between two rounds of the raw writer: the figures are medians. */
const rounds = 3;
/** So long a token has to live, in milliseconds, that at half of it, less a tenth by chance, that work is done at 300 secrets/s. */
const lifeFor = (namespaces: number): number => 22_000 + namespaces * 30;

/** A full first pass over so many namespaces, refreshes of all, and a start where all is right. */
async function passes({ id, parts, front }: Bench, writer: Writer, namespaces: number): Promise<Figures> {
  const port = await freePort();
  const issuing = await front(lifeFor(namespaces));
  const start = performance.now();
  const helper = parts.run({ AWS_ENDPOINT_URL: url(issuing.api), ECR_HELPER_PORT: String(port) });
  const first = timeOf(await helper.line(/configured in namespace/, 0, 600_000));
  await helper.line(/the secret will expire/, 0, 600_000);
  const pass = since(start);
  const names = namesOf(id, namespaces);
  await writeRaw(writer.options, names, newSecrets(writer.env, 0)); // The first writes are creations.
  const [refreshes, raws]: [Refresh[], Raw[]] = [[], [await raw(writer, names, 1)]];
  for (let round = 1; round <= rounds; round++) {
    refreshes.push(await refresh(helper, port, namespaces));
    raws.push(await raw(writer, names, round + 1));
  }
  const { resident, peak } = usage(helper.pid);
  await helper.stop();
  const again = await startRight(parts, issuing, port);
  await issuing.close();
  // Each of a few takes it as long as each of many.
  const sequential = await inTurn(writer, names.slice(0, 1_000));
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
    // With all of the machine's there is none left for a writer that takes more.
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
  /** Of the helper, in seconds. */
  readonly cpu: number;
  readonly calls: string;
}

/** The next refresh that a helper begins, from its first secret to its last. */
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
  /** For a secret, in milliseconds. */
  readonly cpu: number;
  /** How many of the machine's cores. */
  readonly busy: number;
}

/** The API server's own limit for the same secrets, beside the helper's watches, and what a write costs. */
async function raw({ options, env }: Writer, names: readonly string[], round: number): Promise<Raw> {
  const [before, ofAll] = [process.cpuUsage(), machineTime()];
  const took = await writeRaw(options, names, newSecrets(env, round));
  const busy = (machineTime() - ofAll) / took;
  const { user, system } = process.cpuUsage(before);
  return { rate: (2 * names.length) / took, cpu: (user + system) / 1000 / (2 * names.length), busy };
}

/** The way of the peers. */
async function inTurn({ options, env }: Writer, names: readonly string[]): Promise<number> {
  return (2 * names.length) / (await writeSequentially(options, names, newSecrets(env, rounds + 2)));
}

async function startRight(parts: Parts, issuing: Front, port: number): Promise<Record<string, number>> {
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

/** How long it takes from a namespace's creation to its three objects, and from a secret's deletion to its return. */
async function latencies({ id, parts }: Bench): Promise<Record<string, number>> {
  const over = new AbortController();
  const waiting = new Map<string, () => void>();
  const present = new Set<string>();
  const follow = async (collection: string, name: string): Promise<void> => {
    const path = `/api/v1/${collection}?fieldSelector=metadata.name%3D${name}`;
    for await (const { type, object } of watch<{ metadata: { namespace: string } }>(parts.options, path, over.signal)) {
      const key = `${object?.metadata.namespace ?? ""}/${name}`;
      if (type === "DELETED") present.delete(key);
      else present.add(key);
      waiting.get(key)?.();
    }
  };
  const names = ["ecr-creds", "ecr-creds-pull", "builder-sa"];
  const following = names.map(async (name) =>
    follow(name === "builder-sa" ? "serviceaccounts" : "secrets", name).catch(() => undefined),
  );
  const appears = async (namespace: string, name: string): Promise<void> => {
    const key = `${namespace}/${name}`;
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (present.has(key)) resolve();
      };
      waiting.set(key, check);
      check();
    });
    waiting.delete(key);
  };
  const [created, returned]: [number[], number[]] = [[], []];
  for (let sample = 0; sample < samples; sample++) {
    const namespace = `${id}-sample-${String(sample)}`;
    let start = performance.now();
    await parts.namespace(namespace);
    await Promise.all(names.map(async (name) => appears(namespace, name)));
    created.push(performance.now() - start);
    start = performance.now();
    present.delete(`${namespace}/ecr-creds`);
    await parts.admin({ method: "DELETE", path: secretPath(namespace, "ecr-creds") });
    await appears(namespace, "ecr-creds");
    returned.push(performance.now() - start);
  }
  over.abort();
  await Promise.all(following);
  return {
    "namespace to its three objects, median ms": rounded(percentile(created, 0.5)),
    "namespace to its three objects, 99th ms": rounded(percentile(created, 0.99)),
    "deleted secret to its return, median ms": rounded(percentile(returned, 0.5)),
    "deleted secret to its return, 99th ms": rounded(percentile(returned, 0.99)),
  };
}

async function main(): Promise<void> {
  await globalSetup();
  const cluster = await startDisposableCluster();
  const { kubeconfig, command } = cluster;
  const any = { address: loopback, port: 0 };
  const front = async (tokenLife: number): Promise<Front> =>
    startFront({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  const all: Figures[] = [];
  try {
    for (const namespaces of sizes) {
      const id = `bench-${randomBytes(3).toString("hex")}`;
      const parts = await makeParts([`${id}-*`], { kubeconfig, command });
      const writer = await writerBeside(id, { kubeconfig, command });
      try {
        await inParallel(namesOf(id, namespaces), 32, async (name) => parts.namespace(name));
        all.push(await passes({ id, parts, front }, writer, namespaces));
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
    const found = await latencies({ id, parts, front });
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
