// The helper as a process outside of a pod: what helper/main.ts does, with a cluster that the test gives.
import { readFileSync } from "node:fs";
import { runAsProcess } from "../../helper/process.ts";
import type { Cluster } from "./helper-process.ts";

const { server, ca, token, tokenFile } = JSON.parse(process.env["TEST_CLUSTER"] ?? "") as Cluster;
const read = tokenFile === undefined ? () => token : () => readFileSync(tokenFile, "utf8").trim();
void runAsProcess(() => ({ server, ca, token: read }));
