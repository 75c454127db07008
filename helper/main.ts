// The helper's composition root: environment in, loop on, until SIGTERM.
import { createApply, recordWarning, type Target } from "./apply.ts";
import { readConfig } from "./config.ts";
import { Health, serveHealth } from "./health.ts";
import { connect, inCluster } from "./kube.ts";
import { createLog, reasonOf } from "./log.ts";
import { reconcile } from "./reconcile.ts";
import { ecrTokenSource } from "./token.ts";

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const log = createLog(config.logFormat, config.logLevel, (line) => process.stdout.write(line));
  const kube = connect(inCluster(process.env));
  const health = new Health(Date.now);
  const server = await serveHealth(health, config.port);

  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());

  log("info", `Deployment: ${config.pod}`, { pod: config.pod });
  const builds = config.buildNamespaces.map((namespace): Target => ({ namespace, builds: true }));
  // The helper's own image is private too: its namespace keeps a pull secret, unless builds run there anyway.
  const own = config.buildNamespaces.includes(config.namespace) ? [] : [{ namespace: config.namespace, builds: false }];
  const effects = {
    tokenSource: ecrTokenSource(),
    apply: createApply(kube, config),
    warn: async ({ namespace }: Target, { object }: { object: string }, reason: string) =>
      recordWarning(kube, namespace, object, "ForeignObject", reason).catch((error: unknown) =>
        log("warn", `no Event could be recorded: ${reasonOf(error)}`),
      ),
    log,
    now: Date.now,
    random: Math.random,
    beat: (until: number) => health.beat(until),
    ready: () => health.ready(),
  };
  const regions = [...new Set(config.registries.map(({ region }) => region))];
  await reconcile(regions, [...builds, ...own], effects, stop.signal);
  server.close();
  server.closeAllConnections();
  log("info", "stopped");
}

main().catch((error: unknown) => {
  process.stderr.write(`${reasonOf(error)}\n`);
  process.exitCode = 1;
});
