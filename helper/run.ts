// The composition root: from the environment to a running loop and its health server.
import { setTimeout as delay } from "node:timers/promises";
import { createApply, recordWarning, type Target } from "./apply.ts";
import { readConfig, type HelperConfig } from "./config.ts";
import { Health, serveHealth } from "./health.ts";
import { connect, type KubeOptions } from "./kube.ts";
import { createLog, reasonOf } from "./log.ts";
import { reconcile, type Effects } from "./reconcile.ts";
import { ecrTokenSource } from "./token.ts";

/**
 * Runs the helper until the signal aborts, with its log lines going to `write`. Rejects when the environment is wrong or
 * its port is taken.
 */
export async function runHelper(
  env: Readonly<Record<string, string | undefined>>,
  cluster: KubeOptions,
  write: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const config = readConfig(env);
  const log = createLog(config.logFormat, config.logLevel, write);
  const kube = connect(cluster);
  const health = new Health(Date.now);
  const server = await serveHealth(health, config.port);
  const effects: Effects = {
    tokenSource: ecrTokenSource(),
    apply: createApply(kube, config),
    warn: async ({ namespace }, { object }, reason) =>
      recordWarning(kube, namespace, object, "ForeignObject", reason).catch((error: unknown) =>
        log("warn", `no Event could be recorded in namespace ${namespace}: ${reasonOf(error)}`),
      ),
    log,
    now: Date.now,
    random: Math.random,
    sleep,
    beat: (until) => health.beat(until),
    ready: () => health.ready(),
  };
  log("info", `Deployment: ${config.pod}`, { pod: config.pod });
  try {
    await reconcile([...new Set(config.registries.map(({ region }) => region))], targetsOf(config), effects, signal);
  } finally {
    server.close();
    server.closeAllConnections();
  }
  log("info", "stopped");
}

/** The build namespaces, and the helper's own: its image is private too, so a pull secret is kept there. */
function targetsOf({ buildNamespaces, namespace }: HelperConfig): Target[] {
  const own = buildNamespaces.includes(namespace) ? [] : [{ namespace, builds: false }];
  return [...buildNamespaces.map((name) => ({ namespace: name, builds: true })), ...own];
}

async function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
