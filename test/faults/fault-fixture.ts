// What a test of faults in the helper's process needs, in a disposable cluster: the parts of a stack, a gateway that issues
// tokens, and a monitor of every secret.
import { randomBytes } from "node:crypto";
import type { TestContext } from "node:test";
import { inParallel } from "../../helper/runtime/parallel.ts";
import { HelperProcess } from "../support/helper-process.ts";
import type { ServiceAccount } from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";
import { waitFor, type Change } from "../local/watch.ts";
import type { DisposableCluster } from "../support/disposable-cluster.ts";
import { startCountedGateway, type CountedGateway } from "../support/counted-gateway.ts";
import { SecretMonitor } from "../support/secret-monitor.ts";

/** The log line with which the helper ends a pass over all namespaces. */
export const passCompleted = /the secret will expire/;

/** Reports a fault, what held during it, and how long the recovery took that began at `since`, a time of `performance`. */
export const reportOutcome = (t: TestContext, what: string, held: string, since: number): void =>
  t.diagnostic(`outcome: ${what} | ${held} | recovered after ${(performance.now() - since).toFixed(0)} ms`);

/** Options of a FaultFixture. */
export interface FixtureOptions {
  /** In milliseconds; by default so long that the test sees no refresh. */
  readonly tokenLife?: number;
  /** Hosts of further registries. */
  readonly registries?: readonly string[];
}

/** One stack with its namespaces and helpers; a test has to call `remove`. */
export class FaultFixture {
  /** The build namespaces, which the stack includes by a pattern. */
  readonly namespaces: string[] = [];
  readonly parts: Parts;
  readonly gateway: CountedGateway;
  readonly monitor: SecretMonitor;
  readonly id: string;
  readonly #command: readonly string[];
  readonly #others: HelperProcess[] = [];

  private constructor(
    id: string,
    command: readonly string[],
    [parts, gateway, monitor]: [Parts, CountedGateway, SecretMonitor],
  ) {
    [this.id, this.#command] = [id, command];
    [this.parts, this.gateway, this.monitor] = [parts, gateway, monitor];
  }

  /** Creates a stack's parts without any build namespace, and starts the gateway and the monitor. */
  static async create(
    { kubeconfig, command }: DisposableCluster,
    { tokenLife = 3_600_000, registries = [] }: FixtureOptions = {},
  ): Promise<FaultFixture> {
    const id = `faults-${randomBytes(3).toString("hex")}`;
    const config = { registries: JSON.stringify(registries) };
    const parts = await makeParts([`${id}-*`], { kubeconfig, command, config });
    const gateway = await startCountedGateway(tokenLife);
    return new FaultFixture(id, command, [parts, gateway, await SecretMonitor.start(parts, gateway.registry)]);
  }

  /** Creates further build namespaces. */
  async addNamespaces(count: number): Promise<void> {
    const first = this.namespaces.length;
    const more = Array.from({ length: count }, (_, index) => `${this.id}-${String(first + index)}`);
    await inParallel(more, 32, async (name) => this.parts.namespace(name));
    this.namespaces.push(...more);
  }

  /** Starts a helper. */
  run = (env: Readonly<Record<string, string>> = {}): HelperProcess => {
    return this.parts.run({ ...this.gateway.env, ...env });
  };

  /** Starts a helper with a wrapper program or another standard output. */
  runWith(options: ConstructorParameters<typeof HelperProcess>[3], env: Record<string, string> = {}): HelperProcess {
    const all = { ...this.parts.env, ...this.gateway.env, ...env };
    const helper = new HelperProcess(this.parts.cluster, all, this.#command, options);
    this.#others.push(helper);
    return helper;
  }

  /** Resolves when every namespace has its secrets and service account, and all secrets have the same token. */
  async waitUntilConverged(timeout = 60_000): Promise<void> {
    const count = 2 * this.namespaces.length + 1;
    await this.monitor.waitUntil(
      () => this.monitor.latest.size === count && this.monitor.passwords.size === 1,
      timeout,
    );
    const accounts = `/api/v1/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa`;
    const right = new Set<string>();
    const isLast = ({ object }: Change<ServiceAccount & { metadata: { namespace: string } }>): boolean => {
      const isFull = object?.secrets?.length === 1 && object.imagePullSecrets?.length === 1;
      if (isFull) right.add(object.metadata.namespace);
      return right.size >= this.namespaces.length && this.namespaces.every((namespace) => right.has(namespace));
    };
    await waitFor(this.parts.options, accounts, isLast, timeout);
  }

  /** Removes what does not go with the disposable cluster: helpers, monitor, gateway, and the resources in AWS. */
  async remove(): Promise<void> {
    await Promise.all(this.#others.map(async (helper) => helper.stop("SIGKILL")));
    await this.monitor.stop();
    await this.parts.removeFromAws();
    await this.gateway.close();
  }
}
