// Carries out live what a program registers, one resource at a time: created, updated, replaced or left alone by
// comparison with the state file, and deleted when the program no longer has it.
import { isDeepStrictEqual } from "node:util";
import { LocalCloudError } from "../process.ts";
import { say, step } from "../progress.ts";
import { awsHandlers } from "./aws.ts";
import { accessKey } from "./aws-iam.ts";
import type { Summary } from "./engine.ts";
import { UnfinishedError, type Handler } from "./handler.ts";
import { imageHandler } from "./image.ts";
import { kubernetesHandler } from "./kubernetes.ts";
import { described } from "./remedies.ts";
import type { Properties, ResourceState, StateFile } from "./state.ts";

export interface Registration {
  readonly type: string;
  readonly name: string;
  readonly inputs: Properties;
  /** Inputs of the explicit provider, where the program names one. */
  readonly provider: Properties;
  readonly ignoreChanges: readonly string[];
}

export class LiveResources {
  readonly #state: StateFile;
  readonly #handlers: Readonly<Record<string, Handler>>;
  readonly #visited = new Set<ResourceState>();
  readonly summary: Summary = { created: 0, updated: 0, replaced: 0, deleted: 0, unchanged: 0 };

  constructor(state: StateFile) {
    this.#state = state;
    this.#handlers = {
      ...awsHandlers,
      "aws:iam/accessKey:AccessKey": accessKey(() => state.all.map(({ id }) => id)),
      "docker:index/image:Image": imageHandler,
    };
  }

  #handler(type: string): Handler {
    const found = this.#handlers[type] ?? (type.startsWith("kubernetes:") ? kubernetesHandler : undefined);
    if (found !== undefined) return found;
    throw new LocalCloudError(`The in-process engine has no handler for ${type}. Remedy: use --engine pulumi.`);
  }

  /** Notes what has no life of its own: a component, a provider. */
  note(type: string, name: string, inputs: Properties): void {
    const noted = { type, name, custom: false, id: name, inputs, outputs: inputs, provider: {} };
    this.#counted(this.#state.find(type, name) === undefined ? "created" : "unchanged", noted);
    this.#state.put(noted);
    this.#visited.add(noted);
  }

  /** Makes a resource what the program says. Rejects with what went wrong and at which resource. */
  async carryOut(registration: Registration): Promise<ResourceState> {
    const made = await this.#carryOut(registration).catch((error: unknown) => {
      throw described(`${registration.type} ${registration.name}`, error);
    });
    this.#visited.add(made);
    return made;
  }

  async #carryOut({ type, name, inputs: given, provider, ignoreChanges }: Registration): Promise<ResourceState> {
    const handler = this.#handler(type);
    const found = this.#state.find(type, name);
    const all = await complete(handler, given);
    const fresh = { type, name, custom: true, id: "", inputs: all, outputs: {}, provider };
    if (found?.creating !== undefined) await undo(handler, found);
    const there = found !== undefined && found.creating === undefined && (await handler.exists(found, all));
    if (!there) return this.#counted("created", await this.#create(handler, fresh));
    const inputs = withIgnored(all, found, ignoreChanges);
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
    const pending: ResourceState = { ...fresh, creating: new Date().toISOString() };
    this.#state.put(pending);
    try {
      const created = { ...fresh, ...(await handler.create(fresh.inputs, fresh.provider)) };
      this.#state.put(created);
      return created;
    } catch (error) {
      if (!(error instanceof UnfinishedError)) this.#state.remove(pending);
      throw error;
    }
  }

  /** Deletes what no visited resource is: all that the program no longer has, last made first. Stops when the signal aborts. */
  async deleteOthers(signal: AbortSignal): Promise<void> {
    for (const resource of this.#state.all.filter((one) => !this.#visited.has(one)).reverse()) {
      signal.throwIfAborted();
      if (resource.custom) {
        await step(`deleting ${resource.type} ${resource.name}`, async () => this.#delete(resource)).catch(
          (error: unknown) => {
            throw described(`${resource.type} ${resource.name}`, error);
          },
        );
      }
      this.#state.remove(resource);
      this.#counted("deleted", resource);
    }
    // What depends on another was visited after it, even where it is the older one.
    this.#state.order([...this.#visited]);
  }

  async #delete(resource: ResourceState): Promise<void> {
    const handler = this.#handler(resource.type);
    if (resource.creating !== undefined) await undo(handler, resource);
    else await handler.remove(resource);
  }

  #counted(what: keyof Summary, resource: ResourceState): ResourceState {
    this.summary[what] += 1;
    if (what !== "unchanged") say(`  ${what.padEnd(8)} ${resource.type} ${resource.name}`);
    return resource;
  }
}

const complete = async (handler: Handler, inputs: Properties): Promise<Properties> =>
  handler.complete === undefined ? inputs : handler.complete(inputs);

const undo = async (handler: Handler, { inputs, provider, creating = "" }: ResourceState): Promise<void> =>
  handler.undo({ inputs, provider, since: new Date(creating) });

function sameInputs({ comparable = (one) => one }: Handler, one: Properties, other: Properties): boolean {
  return isDeepStrictEqual(comparable(one), comparable(other));
}

/** New inputs with the old values of the properties whose changes are ignored. */
function withIgnored(inputs: Properties, old: ResourceState, ignored: readonly string[]): Properties {
  const kept = ignored.filter((key) => key in old.inputs).map((key) => [key, old.inputs[key]] as const);
  return { ...inputs, ...Object.fromEntries(kept) };
}
