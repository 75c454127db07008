// The composition root: from the environment to watches, tokens, the controller and the health server.
import { Writer } from "./controller/writer.ts";
import { systemClock } from "./runtime/clock.ts";
import { readConfig } from "./config/helper-config.ts";
import { ecrTokenSource, type Tokens } from "./ecr/token.ts";
import { recordWarning } from "./observability/event-recorder.ts";
import { handOver } from "./controller/shutdown.ts";
import { serveHealth } from "./observability/http-server.ts";
import { connect, connectStreams, type KubeOptions } from "./kube/client.ts";
import type { Call, MetadataOnly } from "./kube/types.ts";
import { Limit } from "./kube/concurrency-limit.ts";
import { createLog } from "./runtime/logger.ts";
import { reasonOf } from "./shared/messages.ts";
import { Metrics } from "./observability/metrics.ts";
import { Observed } from "./cache/cluster-cache.ts";
import type { Output } from "./runtime/log-stream.ts";
import { createController } from "./controller/controller.ts";
import { keepTokens } from "./ecr/token-refresher.ts";
import { whatToCheck } from "./ecr/access-denied.ts";
import { Status } from "./observability/status.ts";
import { readTokensLeft } from "./controller/restore-tokens.ts";
import { Watches } from "./cache/informers.ts";

/**
 * Runs the helper until the signal aborts, with its log lines going to `output`. Rejects when the environment is wrong, and
 * then says so before it looks for the cluster, or when its port is taken.
 */
export async function runHelper(
  env: Readonly<Record<string, string | undefined>>,
  cluster: () => KubeOptions,
  output: Output,
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
  const limit = new Limit();
  const answered = (call: Call, code: number): void => {
    metrics.called(call, code);
    limit.answered(code);
  };
  const counted: KubeOptions = { ...cluster(), answered };
  const [kube, stream] = [connect(counted), connectStreams(counted)];
  const warn = (namespace: string, object: string, reason: string, message: string): void =>
    void recordWarning(kube, namespace, object, reason, message).catch((error: unknown) =>
      log("warn", `no Event could be recorded in namespace ${namespace}: ${reasonOf(error)}`),
    );

  const broken = new Set<string>();
  const observed: Observed = new Observed(
    config,
    (namespace) => {
      if (watches.knowledgeOf(namespace) === "known") controller.changed(namespace, true);
    },
    (namespace, error) => {
      const level = broken.has(namespace) ? "debug" : "error";
      broken.add(namespace);
      log(level, `an object in namespace ${namespace} is not understood: ${reasonOf(error)}`, { namespace });
    },
  );
  const watches = new Watches(observed);
  const writer = new Writer(kube, config, observed);
  const effects = { writer, warn, log, metrics, clock, random, concurrency: () => limit.value };
  const controller = createController(config, observed, (namespace) => watches.knowledgeOf(namespace), effects, signal);
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
        const all = namespace === undefined ? [...observed.targets(), ...observed.seenIn()] : [namespace];
        // Where something is still unknown the last list will come here too.
        for (const one of new Set(all)) if (watches.knowledgeOf(one) !== "unknown") controller.changed(one, false);
      },
      failed: (path) => metrics.watchFailed(path),
    },
    signal,
  );
  const isIntact = (name: string, found: MetadataOnly): boolean =>
    observed.judgeSecret(name, found).changedBy === undefined;
  const refreshing = keepTokens(
    tokenNames,
    await readTokensLeft(config, kube, { isIntact, log, clock, random }, signal),
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
      asked: (name, result) => metrics.asked(name, result),
      failing: (_, reason) => warn(config.namespace, `deployment/${config.deployment}`, "NoAuthorizationToken", reason),
      whatToCheck: whatToCheck(config),
    },
    signal,
  );
  try {
    await Promise.all([watching, refreshing]);
    await handOver(config, observed, writer, kube, log);
  } finally {
    server.close();
    server.closeAllConnections();
  }
  log("info", "stopped");
}
