// Runs the Pulumi program in this process on Pulumi's own mock monitor, and carries out live what it registers: created,
// updated, replaced or left alone by comparison with the state file, deleted when the program no longer has it.
import { AsyncLocalStorage } from "node:async_hooks";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import * as pulumi from "@pulumi/pulumi";
import { LocalCloudError } from "../process.ts";
import { say, step } from "../progress.ts";
import type { Stack } from "../stack.ts";
import { accessKey, awsFunctions, awsHandlers } from "./aws.ts";
import { type Engine, type Summary, printSummary } from "./engine.ts";
import { type Handler, UnfinishedError } from "./handler.ts";
import { imageHandler } from "./image.ts";
import { kubernetesHandler } from "./kubernetes.ts";
import { StateFile, type Properties, type ResourceState } from "./state.ts";

/** How Pulumi's wire format marks a secret: https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go */
const signature = "4dabf18193072939515e22adb298388d";

/** The plain values of inputs. The state file holds them as they are and is readable by its owner only. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if (signature in value && "value" in value) return plain(value.value);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

/** A run of the program, or the destruction of what earlier runs made. */
class Update {
  readonly #state: StateFile;
  readonly #handlers: (type: string) => Handler;
  readonly #visited = new Set<ResourceState>();
  readonly #providers = new Map<string, Properties>();
  readonly #options = new AsyncLocalStorage<{ ignoreChanges: readonly string[] }>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly summary: Summary = { created: 0, updated: 0, replaced: 0, deleted: 0, unchanged: 0 };
  /** The first thing that went wrong; after it nothing new is begun. */
  failure: Error | undefined;

  constructor(state: StateFile) {
    this.#state = state;
    const keys = accessKey(() => state.all.map(({ id }) => id));
    this.#handlers = (type) => {
      const known: Record<string, Handler> = {
        ...awsHandlers,
        "aws:iam/accessKey:AccessKey": keys,
        "docker:index/image:Image": imageHandler,
      };
      const found = known[type] ?? (type.startsWith("kubernetes:") ? kubernetesHandler : undefined);
      if (found === undefined)
        throw new LocalCloudError(`The in-process engine has no handler for ${type}. Remedy: use --engine pulumi.`);
      return found;
    };
  }

  /** Runs the program and gives its outputs. Rejects with the first failure, when all that was under way has ended. */
  async run(program: string, stack: string): Promise<Properties> {
    await pulumi.runtime.setMocks(
      { newResource: async (args) => this.#track(this.#register(args)), call: async (args) => this.#call(args) },
      "ecr-helper",
      stack,
      false,
    );
    this.#captureOptions();
    // What fails leaves promises of Pulumi's behind that nobody can await, some until the process ends: the first failure
    // counts, and is thrown below.
    process.on("unhandledRejection", (error) =>
      this.interrupt(error instanceof Error ? error : new Error(String(error))),
    );
    try {
      const failed = new Promise<never>((_, reject) => {
        this.#onFailure = reject;
      });
      const outputs = pulumi.runtime.runInPulumiStack(async () => (await import(program)) as Record<string, unknown>);
      const resolved = await Promise.race([outputs.then(async (found) => resolve(found)), failed]);
      await Promise.race([pulumi.runtime.disconnect(), failed]);
      if (this.failure !== undefined) throw this.failure;
      return resolved;
    } catch (error) {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
      await Promise.allSettled(this.#underWay);
      throw this.failure;
    }
  }

  #onFailure: (error: Error) => void = () => undefined;

  /** Stops the run: what is under way ends and is written down, nothing new begins. */
  interrupt(error: Error): void {
    this.failure ??= error;
    this.#onFailure(this.failure);
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
      this.interrupt(error instanceof Error ? error : new Error(String(error)));
      throw error;
    } finally {
      this.#underWay.delete(work);
    }
  }

  async #call({ token }: pulumi.runtime.MockCallArgs): Promise<Properties> {
    const known = awsFunctions[token];
    if (known === undefined)
      throw new LocalCloudError(`The in-process engine has no function ${token}. Remedy: use --engine pulumi.`);
    return known();
  }

  async #register(args: pulumi.runtime.MockResourceArgs): Promise<{ id: string | undefined; state: Properties }> {
    if (this.failure !== undefined) throw this.failure;
    const inputs = plain(args.inputs) as Properties;
    const provider = this.#providers.get(args.provider?.split("::")[3] ?? "") ?? {};
    if (args.type.startsWith("pulumi:providers:")) this.#providers.set(args.name, inputs);
    if (args.custom !== true || args.type.startsWith("pulumi:")) {
      const component = {
        type: args.type,
        name: args.name,
        custom: false,
        id: args.name,
        inputs,
        outputs: inputs,
        provider,
      };
      this.#counted(this.#state.find(args.type, args.name) === undefined ? "created" : "unchanged", component);
      this.#keep(component);
      return { id: args.custom === true ? args.name : undefined, state: inputs };
    }
    const made = await this.#carryOut(args.type, args.name, inputs, provider);
    this.#visited.add(made);
    return { id: made.id, state: made.outputs };
  }

  #keep(resource: ResourceState): void {
    this.#state.put(resource);
    this.#visited.add(resource);
  }

  async #carryOut(type: string, name: string, given: Properties, provider: Properties): Promise<ResourceState> {
    const handler = this.#handlers(type);
    const found = this.#state.find(type, name);
    const all = await complete(handler, given);
    const fresh = { type, name, custom: true, id: "", inputs: all, outputs: {}, provider };
    if (found?.creating === true) await handler.undo(found.inputs, found.provider);
    const there = found !== undefined && found.creating !== true && (await handler.exists(found, all));
    if (!there) return this.#counted("created", await this.#create(handler, fresh));
    const inputs = withIgnored(all, found, this.#options.getStore()?.ignoreChanges ?? []);
    if (sameInputs(handler, found.inputs, inputs)) return this.#counted("unchanged", found);
    const updated = await handler.update(found, inputs);
    if (updated === undefined)
      return this.#counted("replaced", await this.#replace(handler, found, { ...fresh, inputs }));
    const changed = { ...found, inputs, outputs: updated.outputs, provider };
    this.#state.put(changed);
    return this.#counted("updated", changed);
  }

  /** Where both would have the same id the old one has to go first; else it stays until nothing uses it any more. */
  async #replace(handler: Handler, old: ResourceState, fresh: ResourceState): Promise<ResourceState> {
    if (handler.identify(fresh.inputs) === old.id) {
      await handler.remove(old);
      this.#state.remove(old);
    } else {
      this.#state.setAside(old);
    }
    return this.#create(handler, fresh);
  }

  async #create(handler: Handler, fresh: ResourceState): Promise<ResourceState> {
    const pending: ResourceState = { ...fresh, creating: true };
    this.#state.put(pending);
    try {
      const created = { ...fresh, ...(await handler.create(fresh.inputs, fresh.provider)) };
      this.#state.put(created);
      return created;
    } catch (error) {
      if (!(error instanceof UnfinishedError)) this.#state.remove(pending);
      throw described(fresh, error);
    }
  }

  /** Deletes what no visited resource is: all that the program no longer has, last made first. */
  async deleteOthers(): Promise<void> {
    for (const resource of this.#state.all.filter((one) => !this.#visited.has(one)).reverse()) {
      if (this.failure !== undefined) throw this.failure;
      if (resource.custom) {
        const handler = this.#handlers(resource.type);
        const work =
          resource.creating === true ? handler.undo(resource.inputs, resource.provider) : handler.remove(resource);
        await this.#track(step(`deleting ${resource.type} ${resource.name}`, async () => work)).catch(
          (error: unknown) => {
            throw described(resource, error);
          },
        );
      }
      this.#state.remove(resource);
      this.#counted("deleted", resource);
    }
  }

  #counted(what: keyof Summary, resource: ResourceState): ResourceState {
    this.summary[what] += 1;
    if (what !== "unchanged") say(`  ${what.padEnd(8)} ${resource.type} ${resource.name}`);
    return resource;
  }
}

const complete = async (handler: Handler, inputs: Properties): Promise<Properties> =>
  handler.complete === undefined ? inputs : handler.complete(inputs);

function sameInputs({ comparable = (one) => one }: Handler, one: Properties, other: Properties): boolean {
  return isDeepStrictEqual(comparable(one), comparable(other));
}

/** New inputs with the old values of the properties whose changes are ignored. */
function withIgnored(inputs: Properties, old: ResourceState, ignored: readonly string[]): Properties {
  const kept = ignored.filter((key) => key in old.inputs).map((key) => [key, old.inputs[key]] as const);
  return { ...inputs, ...Object.fromEntries(kept) };
}

const described = ({ type, name }: ResourceState, error: unknown): Error => {
  const message = error instanceof Error ? error.message : String(error);
  const wrap = error instanceof UnfinishedError ? UnfinishedError : LocalCloudError;
  return new wrap(`${type} ${name}: ${message}`, { cause: error });
};

const resolve = async (outputs: unknown): Promise<Properties> => {
  const output = pulumi.output(outputs) as unknown as { promise(): Promise<Properties> };
  return output.promise();
};

async function interruptible<T>(update: Update, work: () => Promise<T>): Promise<T> {
  const stop = (): void =>
    update.interrupt(
      new LocalCloudError("Interrupted. What was done is written down; the next run goes on from there."),
    );
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    return await work();
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

export const inProcess: Engine = {
  name: "in-process",
  up: async (stack: Stack) => {
    const state = new StateFile(stack.folder);
    const update = new Update(state);
    pulumi.runtime.setAllConfig(stack.config);
    const program = pathToFileURL(join(stack.project, "infra/index.ts")).href;
    await interruptible(update, async () => {
      const outputs = await update.run(program, stack.name);
      await update.deleteOthers();
      state.putOutputs(outputs);
    });
    printSummary(update.summary);
  },
  destroy: async (stack: Stack) => {
    const update = new Update(new StateFile(stack.folder));
    await interruptible(update, async () => update.deleteOthers());
    printSummary(update.summary);
  },
  outputs: async (stack: Stack) => Promise.resolve(new StateFile(stack.folder).outputs),
};
