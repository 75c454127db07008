// The helper as a process: reads the environment, stops on signals, and sets the exit code.
import type { KubeOptions } from "./kube/client.ts";
import { errorMessage } from "./shared/messages.ts";
import { LogStream } from "./runtime/log-stream.ts";
import { runHelper } from "./run.ts";

/** Runs the helper in the cluster that `cluster` returns, until SIGTERM or SIGINT. Never rejects: an error is the exit code 1. */
export async function runAsProcess(cluster: () => KubeOptions): Promise<void> {
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
  const output = new LogStream(process.stdout);
  try {
    await runHelper(process.env, cluster, output, stop.signal);
  } catch (error) {
    process.stderr.write(`${errorMessage(error)}\n`);
    process.exitCode = 1;
  }
  // Unread lines would keep the process alive.
  if (!(await output.flushed())) process.exit();
}
