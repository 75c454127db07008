// Signals to the processes of a pod's containers, on either node: a process that is stopped knows nothing of the time that passes.
import { processesOfContainers } from "../local/process.ts";

/** A pod, with the parts of it that name its containers. */
export interface StartedPod {
  readonly metadata: { readonly name: string };
  readonly status: { readonly containerStatuses?: readonly { readonly containerID?: string }[] };
}

/** The processes of a pod's containers; that of its network is not one of them. Throws where none runs. */
export function processesOfPod({ metadata, status }: StartedPod): number[] {
  const ids = (status.containerStatuses ?? []).flatMap(({ containerID }) => containerID?.split("//")[1] ?? []);
  const found = processesOfContainers(ids);
  if (found.length === 0) throw new Error(`no process of pod ${metadata.name} runs on this machine`);
  return found;
}

/**
 * Sends a signal to all processes of a pod's containers. A pod that is stopped (SIGSTOP) fails its liveness probe, and its kubelet
 * restarts it when the probe's periods are over.
 */
export function signalPod(pod: StartedPod, signal: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void {
  for (const pid of processesOfPod(pod)) process.kill(pid, signal);
}
