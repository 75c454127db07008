// Runs the Pulumi program in this process on Pulumi's own mock monitor, whose resources are carried out live.
import { AsyncLocalStorage } from "node:async_hooks";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as pulumi from "@pulumi/pulumi";
import { LocalCloudError } from "../process.ts";
import type { Stack } from "../stack.ts";
import { awsFunctions } from "./aws.ts";
import { printSummary, type Engine } from "./engine.ts";
import { LiveResources } from "./live.ts";
import { described } from "./remedies.ts";
import { plain } from "./secrets.ts";
import { StateFile, type Properties } from "./state.ts";

/** One run of the program. */
class ProgramRun {
  readonly #live: LiveResources;
  readonly #providers = new Map<string, Properties>();
  readonly #options = new AsyncLocalStorage<{ ignoreChanges: readonly string[] }>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #failedCalls: Error[] = [];
  readonly #failed = new AbortController();
  /** Aborts with the first thing that went wrong; after it nothing new is begun. */
  readonly #over: AbortSignal;

  constructor(live: LiveResources, interrupted: AbortSignal) {
    this.#live = live;
    this.#over = AbortSignal.any([interrupted, this.#failed.signal]);
  }

  /** Runs the program and gives its outputs. Rejects with the first failure, when all that was under way has ended. */
  async run(program: string, stack: string): Promise<Properties> {
    const mocks: pulumi.runtime.Mocks = {
      newResource: async (args) => this.#track(this.#register(args)),
      // A call that fails is the program's to tell of, as it may say better what is wrong.
      call: async (args) => this.#call(args),
    };
    await pulumi.runtime.setMocks(mocks, "ecr-helper", stack, false);
    this.#captureOptions();
    // What fails leaves promises of Pulumi's behind that nobody can await, some until the process ends.
    const failed = (error: unknown): void => this.#failed.abort(error);
    process.on("unhandledRejection", failed);
    const over = new Promise<never>((_, reject) => {
      this.#over.addEventListener("abort", () => reject(this.#over.reason as Error), { once: true });
    });
    try {
      const outputs = await Promise.race([this.#outputs(program), over]);
      process.off("unhandledRejection", failed);
      return outputs;
    } catch (error) {
      this.#failed.abort(error);
      await Promise.allSettled(this.#underWay);
      throw this.#told(this.#over.reason);
    }
  }

  /** Of a call that failed, and of which the program does not tell, Pulumi only says what had no value for want of it. */
  #told(failure: unknown): unknown {
    const isTold = failure instanceof LocalCloudError || failure instanceof pulumi.RunError;
    return isTold ? failure : (this.#failedCalls[0] ?? failure);
  }

  async #outputs(program: string): Promise<Properties> {
    const exported = pulumi.runtime.runInPulumiStack(
      async () => ((await import(program)) as { default: Record<string, unknown> }).default,
    );
    const outputs = pulumi.output(await exported) as unknown as { promise(): Promise<Properties> };
    const resolved = await outputs.promise();
    await pulumi.runtime.disconnect();
    this.#over.throwIfAborted();
    return resolved;
  }

  /** Mocks are not told a resource's options; the request that reaches the monitor has them. */
  #captureOptions(): void {
    const monitor = pulumi.runtime.getMonitor() as unknown as {
      registerResource: (request: { getIgnorechangesList(): string[] }, callback: unknown) => Promise<void>;
    };
    const register = monitor.registerResource.bind(monitor);
    monitor.registerResource = async (request, callback) =>
      this.#options.run({ ignoreChanges: request.getIgnorechangesList() }, async () => register(request, callback));
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    try {
      return await work;
    } catch (error) {
      this.#failed.abort(error);
      throw error;
    } finally {
      this.#underWay.delete(work);
    }
  }

  async #call({ token, inputs }: pulumi.runtime.MockCallArgs): Promise<Properties> {
    const known = awsFunctions[token];
    if (known === undefined)
      throw new LocalCloudError(`The in-process engine has no function ${token}. Remedy: use --engine pulumi.`);
    return known(inputs as Properties).catch((error: unknown) => {
      this.#failedCalls.push(described(token, error));
      throw error;
    });
  }

  async #register(args: pulumi.runtime.MockResourceArgs): Promise<{ id: string | undefined; state: Properties }> {
    this.#over.throwIfAborted();
    const { type, name, custom } = args;
    // The state holds secrets as they are, and is encrypted as a whole.
    const inputs = plain(args.inputs) as Properties;
    if (type.startsWith("pulumi:providers:")) this.#providers.set(name, inputs);
    if (custom !== true || type.startsWith("pulumi:")) {
      this.#live.note(type, name, inputs);
      return { id: custom === true ? name : undefined, state: inputs };
    }
    // A provider is named by its URN, `urn:pulumi:STACK::PROJECT::TYPE::NAME::ID`.
    const provider = this.#providers.get(args.provider?.split("::")[3] ?? "") ?? {};
    const ignoreChanges = this.#options.getStore()?.ignoreChanges ?? [];
    const { id, outputs } = await this.#live.carryOut({ type, name, inputs, provider, ignoreChanges });
    return { id, state: outputs };
  }
}

/** Runs `work` with a signal that aborts at Ctrl-C: what is under way ends and is written down, nothing new begins. */
async function interruptible(work: (interrupted: AbortSignal) => Promise<void>): Promise<void> {
  const interrupted = new AbortController();
  const text = "Interrupted. What was done is written down; the next run goes on from there.";
  const stop = (): void => interrupted.abort(new LocalCloudError(text));
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    await work(interrupted.signal);
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

/** The stack's configuration of the AWS provider says who its resources are made by. */
function useProviderConfig({ config }: Stack): void {
  const variables = { AWS_ACCESS_KEY_ID: "accessKey", AWS_SECRET_ACCESS_KEY: "secretKey", AWS_REGION: "region" };
  for (const [variable, key] of Object.entries(variables)) process.env[variable] = config[`aws:${key}`];
}

export const inProcess: Engine = {
  name: "in-process",
  up: async (stack: Stack) =>
    interruptible(async (interrupted) => {
      const state = new StateFile(stack.folder);
      const live = new LiveResources(state);
      useProviderConfig(stack);
      pulumi.runtime.setAllConfig(stack.config);
      const program = pathToFileURL(join(stack.project, "infra/index.ts")).href;
      const outputs = await new ProgramRun(live, interrupted).run(program, stack.name);
      await live.deleteOthers(interrupted);
      state.putOutputs(outputs);
      printSummary(live.summary);
    }),
  destroy: async (stack: Stack) =>
    interruptible(async (interrupted) => {
      useProviderConfig(stack);
      const live = new LiveResources(new StateFile(stack.folder));
      await live.deleteOthers(interrupted);
      printSummary(live.summary);
    }),
  outputs: async (stack: Stack) => Promise.resolve(new StateFile(stack.folder).outputs),
};
