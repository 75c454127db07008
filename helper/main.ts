// The process: environment in, signals in, lines out. No logic.
import { inCluster } from "./kube.ts";
import { reasonOf } from "./log.ts";
import { runHelper } from "./run.ts";

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());

runHelper(
  process.env,
  () => inCluster(process.env),
  (line) => process.stdout.write(line),
  stop.signal,
).catch((error: unknown) => {
  process.stderr.write(`${reasonOf(error)}\n`);
  process.exitCode = 1;
});
