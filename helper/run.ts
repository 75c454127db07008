// The composition root: wires the helper's parts together and runs them until the process has to stop.
import { ClusterCache } from "./cache/cluster-cache.ts";
import { Informers } from "./cache/informers.ts";
import { readConfig, type HelperConfig } from "./config/helper-config.ts";
import { Worker } from "./controller/worker.ts";
import { Elector, type Candidacy } from "./election/elector.ts";
import { createKubeClient, createKubeStream, type KubeOptions } from "./kube/client.ts";
import { ConcurrencyLimit } from "./kube/concurrency-limit.ts";
import type { Kube, KubeStream } from "./kube/types.ts";
import { createWarn, type Warn } from "./observability/event-recorder.ts";
import { serveHealth } from "./observability/http-server.ts";
import { Metrics } from "./observability/metrics.ts";
import { OwnersReport } from "./observability/owners-report.ts";
import { Status } from "./observability/status.ts";
import { systemClock } from "./runtime/clock.ts";
import type { LogStream } from "./runtime/log-stream.ts";
import { createLog, type Log } from "./runtime/logger.ts";
import { errorMessage } from "./shared/messages.ts";

/** How long a helper that ends waits for the Lease, in milliseconds: with a holder that is gone, longer than the Lease is valid. */
const lastTermTimeout = 22_000;

/** Time and chance, as every part takes them. */
const timing = { clock: systemClock, random: Math.random };

/**
 * Runs the helper until the signal aborts, with its log going to `output`. Rejects when the environment is wrong, before it
 * calls `cluster`, and when its port is taken.
 */
export async function runHelper(
  env: Readonly<Record<string, string | undefined>>,
  cluster: () => KubeOptions,
  output: LogStream,
  signal: AbortSignal,
): Promise<void> {
  const config = readConfig(env);
  const log = createLog(config.logFormat, config.logLevel, output.write);
  output.onLoss((lines) =>
    log("warn", `${String(lines)} lines of the log were lost before this one: nobody read them`),
  );
  await new Helper(config, log, cluster(), signal).run();
  log("info", "stopped");
}

class Helper {
  readonly #config: HelperConfig;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #kube: Kube;
  readonly #stream: KubeStream;
  readonly #warn: Warn;
  readonly #ownersReport: OwnersReport;
  readonly #metrics: Metrics;
  readonly #cache: ClusterCache;
  readonly #informers: Informers;
  readonly #elector: Elector;
  readonly #worker: Worker;
  readonly #status: Status;
  /** The namespaces with an object that the cache could not read. */
  readonly #invalid = new Set<string>();

  constructor(config: HelperConfig, log: Log, cluster: KubeOptions, signal: AbortSignal) {
    [this.#config, this.#log, this.#signal] = [config, log, signal];
    this.#metrics = new Metrics(config, {
      states: () => this.#worker.states(),
      isFullySynced: () => this.#status.isFullySynced(),
      isLeading: () => this.#elector.isLeading(),
      missingOwners: () => this.#cache.owners.missing.length,
    });
    const limit = new ConcurrencyLimit();
    const observed: KubeOptions = {
      ...cluster,
      onAnswer: (call, status) => {
        this.#metrics.countKubeRequest(call, status);
        limit.answered(status);
      },
    };
    [this.#kube, this.#stream] = [createKubeClient(observed), createKubeStream(observed)];
    this.#elector = new Elector(config, {
      ...timing,
      kube: this.#kube,
      stream: this.#stream,
      log,
      owners: () => this.#cache.owners.references,
    });
    this.#warn = createWarn(this.#kube, log);
    this.#ownersReport = new OwnersReport(config, log, this.#warn);
    this.#cache = new ClusterCache(
      config,
      (namespace) => this.#onChange(namespace),
      (namespace, error) => this.#onInvalid(namespace, error),
      () => this.#onOwners(),
    );
    this.#informers = new Informers(this.#cache);
    this.#worker = new Worker(config, this.#cache, this.#informers, {
      ...timing,
      kube: this.#kube,
      stream: this.#stream,
      writes: createKubeClient({ ...observed, mayWrite: () => this.#elector.isLeading() }),
      warn: this.#warn,
      prepared: () => this.#elector.notify(),
      hasWritten: () => this.#status.hasWritten(),
      wasReady: () => this.#status.wasReady,
      log,
      metrics: this.#metrics,
      concurrency: () => limit.value,
    });
    this.#status = new Status(config, {
      tokens: () => this.#worker.tokens,
      targets: () => this.#cache.targets(),
      states: () => this.#worker.states(),
      stalled: () => this.#worker.stalled(),
      isLeading: () => this.#elector.isLeading(),
      holder: () => this.#elector.holder,
      sinceHandOver: () => this.#elector.sinceHandOver(),
      unlisted: () => this.#informers.unlisted,
      now: timing.clock.now,
    });
  }

  /** Resolves after the signal aborts and everything is cleaned up. Rejects when the port is taken. */
  async run(): Promise<void> {
    const { pod, port } = this.#config;
    const server = await serveHealth(this.#status, async () => this.#metrics.text(), port);
    this.#log("info", `Deployment: ${pod}`, { pod });
    const following = new AbortController();
    const followed = this.#elector.follow(following.signal);
    try {
      await Promise.all([this.#watchCluster(), this.#workOrStandBy()]);
    } finally {
      following.abort();
      await followed;
      server.close();
      server.closeAllConnections();
    }
  }

  async #watchCluster(): Promise<void> {
    await this.#informers.run(
      {
        ...timing,
        kube: this.#kube,
        stream: this.#stream,
        log: this.#log,
        listed: (namespace) => this.#onListed(namespace),
        failed: (path) => this.#metrics.watchFailed(path),
      },
      this.#signal,
    );
  }

  async #workOrStandBy(): Promise<void> {
    let hasCleanedUp = false;
    const candidacy: Candidacy = {
      isPrepared: () => this.#status.isPrepared(),
      asks: () => this.#status.asksForLease(),
      standsBy: () => void this.#worker.prepare(this.#signal),
    };
    while (!this.#signal.aborted) {
      const term = await this.#elector.acquire(candidacy, this.#signal);
      if (term !== undefined) hasCleanedUp = await this.#worker.work(term, this.#signal);
    }
    if (hasCleanedUp) return;
    const last: Candidacy = { isPrepared: () => true, asks: () => true, standsBy: () => undefined };
    await this.#worker.cleanUp(async () => this.#elector.acquire(last, AbortSignal.timeout(lastTermTimeout)));
  }

  /** An object changed. A namespace that is not known completely is enqueued by `#onListed`. */
  #onChange(namespace: string): void {
    if (this.#informers.syncStateOf(namespace) === "known") this.#worker.enqueue(namespace, true);
  }

  /** A collection was listed: of one namespace, or of all. */
  #onListed(namespace: string | undefined): void {
    // A namespace that is still unknown is enqueued after the last of its lists.
    for (const one of namespace === undefined ? this.#cache.concerned() : [namespace])
      if (this.#informers.syncStateOf(one) !== "unknown") this.#worker.enqueue(one, false);
    this.#elector.notify();
  }

  #onOwners(): void {
    this.#ownersReport.update(this.#cache.owners.missing);
    this.#worker.refreshOwners();
  }

  /** Logs an error once for each namespace, as watches repeat the object. */
  #onInvalid(namespace: string, error: unknown): void {
    const level = this.#invalid.has(namespace) ? "debug" : "error";
    this.#invalid.add(namespace);
    const text = `an object in namespace ${namespace} is left alone: ${errorMessage(error)}`;
    this.#log(level, text, { namespace });
  }
}
