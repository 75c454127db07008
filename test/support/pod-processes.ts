// The processes of a pod's containers, on either node. One that a test stops does not notice that time passes.
import { setTimeout as delay } from "node:timers/promises";
import { isAlive, processesOfContainers, processState } from "../local/process.ts";

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
 * Stops all processes of a pod's containers by SIGSTOP; resolves when they have stopped. Such a pod fails its liveness probe, and its
 * kubelet restarts it when the probe's periods are over.
 */
export async function stopPod(pod: StartedPod): Promise<void> {
  const stopped = processesOfPod(pod);
  for (const pid of stopped) process.kill(pid, "SIGSTOP");
  // The kernel stops a process when it runs next, and tells only its parent. One that ends meanwhile needs no stopping.
  while (stopped.some((pid) => isAlive(pid) && processState(pid) !== "T")) await delay(1);
}

/** Undoes `stopPod`. */
export function continuePod(pod: StartedPod): void {
  for (const pid of processesOfPod(pod)) process.kill(pid, "SIGCONT");
}
