// The entry point of the image: runs the helper in the cluster of its own pod.
import { inCluster } from "./kube/client.ts";
import { runAsProcess } from "./process.ts";

void runAsProcess(() => inCluster(process.env));
