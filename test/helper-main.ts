// The helper as a process outside of a pod: what helper/main.ts does, with a cluster that the test gives.
import { runHelper } from "../helper/run.ts";
import type { Cluster } from "./helper-process.ts";

const { server, ca, token } = JSON.parse(process.env["TEST_CLUSTER"] ?? "") as Cluster;
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
runHelper(
  process.env,
  () => ({ server, ca, token: () => token }),
  (line) => process.stdout.write(line),
  stop.signal,
).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
