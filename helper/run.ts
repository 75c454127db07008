// The composition root: from the environment to watches, tokens, the controller and the health server.
import { Writer } from "./controller/writer.ts";
import { systemClock } from "./runtime/clock.ts";
import { readConfig } from "./config/helper-config.ts";
import { ecrTokenSource } from "./ecr/client.ts";
import type { Tokens } from "./ecr/token.ts";
import { recordWarning } from "./observability/event-recorder.ts";
import { cleanUpOnShutdown } from "./controller/shutdown.ts";
import { serveHealth } from "./observability/http-server.ts";
import { createKubeClient, createKubeStream, type KubeOptions } from "./kube/client.ts";
import type { KubeRequest, PartialObjectMetadata } from "./kube/types.ts";
import { ConcurrencyLimit } from "./kube/concurrency-limit.ts";
import { createLog } from "./runtime/logger.ts";
import { errorMessage } from "./shared/messages.ts";
import { Metrics } from "./observability/metrics.ts";
import { ClusterCache } from "./cache/cluster-cache.ts";
import type { LogStream } from "./runtime/log-stream.ts";
import { createController } from "./controller/controller.ts";
import { runTokenRefresher } from "./ecr/token-refresher.ts";
import { accessDeniedHint } from "./ecr/access-denied.ts";
import { Status } from "./observability/status.ts";
import { restoreTokens } from "./controller/restore-tokens.ts";
import { Informers } from "./cache/informers.ts";

/**
 * Runs the helper until the signal aborts, with its log lines going to `output`. Rejects when the environment is wrong, and
 * then says so before it looks for the cluster, or when its port is taken.
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
  const [clock, random] = [systemClock, Math.random];
  const tokenNames = [...config.tokenRequests.keys()];
  let tokens: Tokens = new Map();

  const metrics = new Metrics(config, { states: () => controller.states(), isAllRight: () => status.isAllRight() });
  const limit = new ConcurrencyLimit();
  const onAnswer = (call: KubeRequest, code: number): void => {
    metrics.called(call, code);
    limit.answered(code);
  };
  const counted: KubeOptions = { ...cluster(), onAnswer };
  const [kube, stream] = [createKubeClient(counted), createKubeStream(counted)];
  const warn = (namespace: string, object: string, reason: string, message: string): void =>
    void recordWarning(kube, namespace, object, reason, message).catch((error: unknown) =>
      log("warn", `no Event could be recorded in namespace ${namespace}: ${errorMessage(error)}`),
    );

  const broken = new Set<string>();
  const observed: ClusterCache = new ClusterCache(
    config,
    (namespace) => {
      if (watches.syncStateOf(namespace) === "known") controller.enqueue(namespace, true);
    },
    (namespace, error) => {
      const level = broken.has(namespace) ? "debug" : "error";
      broken.add(namespace);
      log(level, `an object in namespace ${namespace} is not understood: ${errorMessage(error)}`, { namespace });
    },
  );
  const watches = new Informers(observed);
  const writer = new Writer(kube, config, observed);
  const effects = { writer, warn, log, metrics, clock, random, concurrency: () => limit.value };
  const controller = createController(config, observed, (namespace) => watches.syncStateOf(namespace), effects, signal);
  const status = new Status(config.namespace, tokenNames, {
    tokens: () => tokens,
    targets: () => observed.targets(),
    states: () => controller.states(),
    stalled: () => controller.stalled(),
    now: clock.now,
  });
  const server = await serveHealth(status, async () => metrics.text(), config.port);
  log("info", `Deployment: ${config.pod}`, { pod: config.pod });

  const watching = watches.run(
    {
      kube,
      stream,
      clock,
      random,
      log,
      listed: (namespace) => {
        const all =
          namespace === undefined ? [...observed.targets(), ...observed.namespacesWithObjects()] : [namespace];
        // Where something is still unknown the last list will come here too.
        for (const one of new Set(all)) if (watches.syncStateOf(one) !== "unknown") controller.enqueue(one, false);
      },
      failed: (path) => metrics.watchFailed(path),
    },
    signal,
  );
  const isIntact = (name: string, found: PartialObjectMetadata): boolean =>
    observed.projectSecret(name, found).modifiedBy === undefined;
  const refreshing = runTokenRefresher(
    tokenNames,
    await restoreTokens(config, kube, { isIntact, log, clock, random }, signal),
    {
      tokenSource: ecrTokenSource(config.tokenRequests, config.registries[0]?.region ?? ""),
      log,
      clock,
      random,
      refreshed: (next) => {
        tokens = next;
        metrics.tokens(next);
        controller.refresh(next);
      },
      requested: (name, result) => metrics.asked(name, result),
      failing: (_, reason) => warn(config.namespace, `deployment/${config.deployment}`, "NoAuthorizationToken", reason),
      accessDeniedHint: accessDeniedHint(config),
    },
    signal,
  );
  try {
    await Promise.all([watching, refreshing]);
    await cleanUpOnShutdown(config, observed, writer, kube, log);
  } finally {
    server.close();
    server.closeAllConnections();
  }
  log("info", "stopped");
}
