// The stack's parts that are quickly made (neither its image nor its pod), carried out one by one in this process.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LiveResources, type Registration } from "../local/engine/live.ts";
import { StateFile, type ResourceState } from "../local/engine/state.ts";
import { aws, kubeconfig } from "../local/machine.ts";
import { runProgram } from "../program.ts";

/** What the program registers, given a configuration, by a name that is all that it makes has. */
export async function registrationsOf(
  name: string,
  config: Readonly<Record<string, string>> = {},
): Promise<Registration[]> {
  const own = { repositoryName: name, policyName: name, userName: name, namespace: name };
  const { resources } = await runProgram({ kubeconfig, ...own, ...config }, { stack: name, region: aws.AWS_REGION });
  return resources
    .filter(({ type }) => !/^(pulumi|ecr-helper|docker):|:Deployment$/.test(type))
    .map(({ type, name: resource, inputs }) => ({
      type,
      name: resource,
      inputs,
      provider: { kubeconfig },
      ignoreChanges: [],
    }));
}

/** How long some work took, in milliseconds, as outcomes tell it. */
export async function timed(work: Promise<unknown>): Promise<string> {
  const since = performance.now();
  await work;
  return `right again after ${String(Math.round(performance.now() - since))} ms`;
}

export class LiveStack {
  readonly #folder = mkdtempSync(join(tmpdir(), "ecr-helper-faults-"));

  /** As the next command finds it. */
  state(): StateFile {
    return new StateFile(this.#folder);
  }

  async up(registrations: readonly Registration[]): Promise<ResourceState[]> {
    const live = new LiveResources(this.state());
    const made: ResourceState[] = [];
    for (const registration of registrations) made.push(await live.carryOut(registration));
    return made;
  }

  async down(): Promise<void> {
    await new LiveResources(this.state()).deleteOthers(new AbortController().signal);
  }

  /** Writes down, as an `up` did that was killed, that a resource was about to be made. */
  begin({ type, name, inputs, provider }: Registration, since: Date): void {
    this.state().put({
      type,
      name,
      custom: true,
      id: "",
      inputs,
      outputs: {},
      provider,
      creating: since.toISOString(),
    });
  }

  forget(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
