// The helper as a process outside of a pod: what helper/main.ts does, with a cluster that the test gives.
import { runAsProcess } from "../../helper/process.ts";
import type { Cluster } from "./helper-process.ts";
import { kubeOptionsOf } from "./kube-options.ts";

const cluster = JSON.parse(process.env["TEST_CLUSTER"] ?? "") as Cluster;
void runAsProcess(() => kubeOptionsOf(cluster));
