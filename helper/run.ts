// The composition root: wires the helper's parts together and runs them until the process has to stop.
import { ClusterCache } from "./cache/cluster-cache.ts";
import { Informers } from "./cache/informers.ts";
import { readConfig, type HelperConfig } from "./config/helper-config.ts";
import { Controller } from "./controller/controller.ts";
import { restoreTokens } from "./controller/restore-tokens.ts";
import { cleanUpOnShutdown } from "./controller/shutdown.ts";
import { Writer } from "./controller/writer.ts";
import { accessDeniedHint } from "./ecr/access-denied.ts";
import { ecrTokenSource } from "./ecr/client.ts";
import { runTokenRefresher } from "./ecr/token-refresher.ts";
import type { Tokens } from "./ecr/token.ts";
import { createKubeClient, createKubeStream, type KubeOptions } from "./kube/client.ts";
import { ConcurrencyLimit } from "./kube/concurrency-limit.ts";
import type { Kube, KubeStream, PartialObjectMetadata } from "./kube/types.ts";
import { createWarn, type Warn } from "./observability/event-recorder.ts";
import { serveHealth } from "./observability/http-server.ts";
import { Metrics } from "./observability/metrics.ts";
import { OwnersReport } from "./observability/owners-report.ts";
import { Status } from "./observability/status.ts";
import { systemClock } from "./runtime/clock.ts";
import type { LogStream } from "./runtime/log-stream.ts";
import { createLog, type Log } from "./runtime/logger.ts";
import { errorMessage } from "./shared/messages.ts";

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
  readonly #writer: Writer;
  readonly #controller: Controller;
  readonly #status: Status;
  #tokens: Tokens = new Map();
  /** The namespaces with an object that the cache could not read. */
  readonly #invalid = new Set<string>();

  constructor(config: HelperConfig, log: Log, cluster: KubeOptions, signal: AbortSignal) {
    [this.#config, this.#log, this.#signal] = [config, log, signal];
    this.#metrics = new Metrics(config, {
      states: () => this.#controller.states(),
      isFullySynced: () => this.#status.isFullySynced(),
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
    this.#warn = createWarn(this.#kube, log);
    this.#ownersReport = new OwnersReport(config, log, this.#warn);
    this.#cache = new ClusterCache(
      config,
      (namespace) => this.#onChange(namespace),
      (namespace, error) => this.#onInvalid(namespace, error),
      () => this.#onOwners(),
    );
    this.#informers = new Informers(this.#cache);
    this.#writer = new Writer(this.#kube, config, this.#cache);
    this.#controller = new Controller(
      config,
      this.#cache,
      (namespace) => this.#informers.syncStateOf(namespace),
      {
        ...timing,
        writer: this.#writer,
        warn: this.#warn,
        log,
        metrics: this.#metrics,
        concurrency: () => limit.value,
      },
      signal,
    );
    this.#status = new Status(config.namespace, [...config.tokenRequests.keys()], {
      tokens: () => this.#tokens,
      targets: () => this.#cache.targets(),
      states: () => this.#controller.states(),
      stalled: () => this.#controller.stalled(),
      now: timing.clock.now,
    });
  }

  /** Resolves after the signal aborts and everything is cleaned up. Rejects when the port is taken. */
  async run(): Promise<void> {
    const { pod, port } = this.#config;
    const server = await serveHealth(this.#status, async () => this.#metrics.text(), port);
    this.#log("info", `Deployment: ${pod}`, { pod });
    try {
      await Promise.all([this.#watchCluster(), this.#refreshTokens()]);
      await cleanUpOnShutdown(this.#config, this.#cache, this.#writer, this.#kube, this.#log);
    } finally {
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

  async #refreshTokens(): Promise<void> {
    const { tokenRequests, registries, namespace, deployment } = this.#config;
    const restored = await this.#restoreTokens();
    await runTokenRefresher(
      [...tokenRequests.keys()],
      restored,
      {
        ...timing,
        tokenSource: ecrTokenSource(tokenRequests, registries[0]?.region ?? ""),
        log: this.#log,
        refreshed: (tokens) => this.#onTokens(tokens),
        requested: (name, result) => this.#metrics.countTokenRequest(name, result),
        failing: (_, reason) =>
          this.#warn(namespace, { kind: "Deployment", name: deployment }, "NoAuthorizationToken", reason),
        accessDeniedHint: accessDeniedHint(this.#config),
      },
      this.#signal,
    );
  }

  async #restoreTokens(): Promise<Tokens> {
    const isIntact = (name: string, found: PartialObjectMetadata): boolean =>
      this.#cache.projectSecret(name, found).modifiedBy === undefined;
    return restoreTokens(this.#config, this.#kube, { ...timing, isIntact, log: this.#log }, this.#signal);
  }

  #onTokens(tokens: Tokens): void {
    this.#tokens = tokens;
    this.#metrics.setTokenExpiry(tokens);
    this.#controller.refresh(tokens);
  }

  /** An object changed. A namespace that is not known completely is enqueued by `#onListed`. */
  #onChange(namespace: string): void {
    if (this.#informers.syncStateOf(namespace) === "known") this.#controller.enqueue(namespace, true);
  }

  /** A collection was listed: of one namespace, or of all. */
  #onListed(namespace: string | undefined): void {
    // A namespace that is still unknown is enqueued after the last of its lists.
    for (const one of namespace === undefined ? this.#cache.concerned() : [namespace])
      if (this.#informers.syncStateOf(one) !== "unknown") this.#controller.enqueue(one, false);
  }

  #onOwners(): void {
    this.#ownersReport.update(this.#cache.owners.missing);
    this.#controller.refreshOwners();
  }

  /** Logs an error once for each namespace, as watches repeat the object. */
  #onInvalid(namespace: string, error: unknown): void {
    const level = this.#invalid.has(namespace) ? "debug" : "error";
    this.#invalid.add(namespace);
    const text = `an object in namespace ${namespace} is not understood: ${errorMessage(error)}`;
    this.#log(level, text, { namespace });
  }
}
