// A cluster to be thrown away, and in it what a fault is done to: a stack's helper, the front that gives it tokens, a witness.
import { randomBytes } from "node:crypto";
import type { TestContext } from "node:test";
import { inParallel } from "../../helper/runtime/parallel.ts";
import { HelperProcess } from "../support/helper-process.ts";
import { makeParts, type Parts, type ServiceAccount } from "../support/stack-parts.ts";
import { waitFor, type Change } from "../local/watch.ts";
import type { OwnCluster } from "../support/disposable-cluster.ts";
import { startCountedFront, type CountedFront } from "../support/counted-gateway.ts";
import { Witness } from "../support/secret-monitor.ts";

/** The helper's word for: all that could be done is done. */
export const done = /the secret will expire/;

/** Tells what became of a case that began to be mended at `since`. */
export const outcome = (t: TestContext, what: string, held: string, since: number): void =>
  t.diagnostic(`outcome: ${what} | ${held} | right again after ${(performance.now() - since).toFixed(0)} ms`);

export interface SceneOptions {
  /** In milliseconds; long enough for a refresh never to come by default. */
  readonly tokenLife?: number;
  /** Hosts of further registries. */
  readonly registries?: readonly string[];
}

export class Scene {
  /** All build namespaces; those of a pattern. */
  readonly namespaces: string[] = [];
  readonly parts: Parts;
  readonly front: CountedFront;
  readonly witness: Witness;
  readonly id: string;
  readonly #command: readonly string[];
  readonly #others: HelperProcess[] = [];

  private constructor(id: string, command: readonly string[], [parts, front, witness]: [Parts, CountedFront, Witness]) {
    [this.id, this.#command] = [id, command];
    [this.parts, this.front, this.witness] = [parts, front, witness];
  }

  static async set(
    { kubeconfig, command }: OwnCluster,
    { tokenLife = 3_600_000, registries = [] }: SceneOptions = {},
  ): Promise<Scene> {
    const id = `faults-${randomBytes(3).toString("hex")}`;
    const config = { registries: JSON.stringify(registries) };
    const parts = await makeParts([`${id}-*`], { kubeconfig, command, config });
    const front = await startCountedFront(tokenLife);
    return new Scene(id, command, [parts, front, await Witness.start(parts, front.registry)]);
  }

  /** Makes so many further namespaces. */
  async grow(count: number): Promise<void> {
    const first = this.namespaces.length;
    const more = Array.from({ length: count }, (_, index) => `${this.id}-${String(first + index)}`);
    await inParallel(more, 32, async (name) => this.parts.namespace(name));
    this.namespaces.push(...more);
  }

  /** Starts a helper. */
  run = (env: Readonly<Record<string, string>> = {}): HelperProcess => {
    return this.parts.run({ ...this.front.env, ...env });
  };

  /** Starts one in a program around it, or with another standard output. */
  runIn(options: ConstructorParameters<typeof HelperProcess>[3], env: Record<string, string> = {}): HelperProcess {
    const all = { ...this.parts.env, ...this.front.env, ...env };
    const helper = new HelperProcess(this.parts.cluster, all, this.#command, options);
    this.#others.push(helper);
    return helper;
  }

  /** Resolves when every namespace has all that it should, with one and the same token. */
  async isRight(timeout = 60_000): Promise<void> {
    const count = 2 * this.namespaces.length + 1;
    await this.witness.until(() => this.witness.latest.size === count && this.witness.passwords.size === 1, timeout);
    const accounts = `/api/v1/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa`;
    const right = new Set<string>();
    const isLast = ({ object }: Change<ServiceAccount & { metadata: { namespace: string } }>): boolean => {
      const isFull = object?.secrets?.length === 1 && object.imagePullSecrets?.length === 1;
      if (isFull) right.add(object.metadata.namespace);
      return right.size >= this.namespaces.length && this.namespaces.every((namespace) => right.has(namespace));
    };
    await waitFor(this.parts.options, accounts, isLast, timeout);
  }

  /** Takes down what the cluster does not take with it. */
  async end(): Promise<void> {
    await Promise.all(this.#others.map(async (helper) => helper.stop("SIGKILL")));
    await this.witness.stop();
    await this.parts.removeFromAws();
    await this.front.close();
  }
}
