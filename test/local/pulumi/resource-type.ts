// One resource type of a provider plugin: what the engine may ask of it, made of a declared schema and four operations.
import { autonamed, type Naming } from "./autoname.ts";
import { diffInputs, isUnchanged, type DiffRequest, type DiffResult } from "./diff.ts";
import {
  failuresOf,
  meansTheSame,
  normalized,
  withDefaults,
  type CheckFailure,
  type InputSpec,
  type Schema,
} from "./schema.ts";
import {
  hasUnknown,
  isEmpty,
  markSecrets,
  plain,
  plainProperties,
  secret,
  unknown,
  type Properties,
} from "./values.ts";

export interface CheckRequest {
  readonly inputs: Properties;
  /** What check gave the last time, of a resource that exists. */
  readonly oldInputs?: Properties | undefined;
  readonly naming: Naming;
}

export interface CheckResult {
  readonly inputs: Properties;
  readonly failures: readonly CheckFailure[];
}

/** A resource as it is: `inputs` are those that would make it so. */
export interface Live {
  readonly id: string;
  readonly inputs: Properties;
  readonly outputs: Properties;
}

/** What the engine remembers of a resource; without it, a read is an import. */
export interface Known {
  readonly inputs: Properties;
  readonly outputs: Properties;
}

export interface ResourceType<Session> {
  readonly schema: Schema;
  check(request: CheckRequest, session?: Session): Promise<CheckResult>;
  diff(request: DiffRequest, session?: Session): DiffResult;
  /** The outputs that an update would lead to, with `unknown` for what only AWS says. */
  preview(inputs: Properties, session: Session, state?: Properties): Properties;
  /** Rejects with InitFailedError when the resource was made, but not as it should be. */
  create(inputs: Properties, session: Session): Promise<Live>;
  /** Undefined where it is not there. */
  read(id: string, session: Session, known?: Known): Promise<Live | undefined>;
  /** Rejects with InitFailedError, which has the state that the resource was left in. */
  update(id: string, state: Properties, inputs: Properties, session: Session): Promise<Live>;
  /** That it is gone already is no error. */
  delete(id: string, state: Properties, session: Session): Promise<void>;
}

/** A resource is there, but not as it should be: the engine keeps it in the state, and mends it the next time. */
export class InitFailedError extends Error {
  readonly live: Live;

  constructor(live: Live, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.live = live;
  }
}

/** What AWS says of a resource: its id, and the properties that are to be in the state. */
export interface Observed {
  readonly id: string;
  readonly properties: Properties;
}

export interface Definition<Session> {
  readonly schema: Schema;
  /** Outputs that only AWS says. */
  readonly computed: readonly string[];
  readonly secretOutputs?: readonly string[];
  /** Outputs that are told once, when the resource is made, and kept from then on. */
  readonly toldOnce?: readonly string[];
  readonly deleteBeforeReplace?: true;
  /** Outputs that follow from inputs and configuration. */
  readonly plan?: (inputs: Properties, session: Session) => Properties;
  /** What depends on more than one input. */
  readonly validate?: (inputs: Properties) => CheckFailure[];
  /** Gives the id, and the outputs that are told once. Inputs are plain and have their defaults. */
  readonly create: (inputs: Properties, session: Session) => Promise<{ id: string; told?: Properties }>;
  /** `state` is empty for an import. Undefined where it is not there. */
  readonly read: (id: string, state: Properties, session: Session) => Promise<Observed | undefined>;
  /** Changes it from what the state says to what the inputs say. Gives the id where that changes with it. */
  readonly update?: (change: Change, session: Session) => Promise<string | undefined>;
  readonly remove: (id: string, state: Properties, session: Session) => Promise<void>;
}

export interface Change {
  readonly id: string;
  readonly state: Properties;
  readonly inputs: Properties;
  /** Whether an input means something else than the state. */
  readonly changes: (key: string) => boolean;
}

/** Makes a resource type of what is particular to it. */
export const resourceType = <Session>(definition: Definition<Session>): ResourceType<Session> =>
  new DeclaredType(definition);

class DeclaredType<Session> implements ResourceType<Session> {
  readonly schema: Schema;
  readonly #definition: Definition<Session>;

  constructor(definition: Definition<Session>) {
    this.schema = definition.schema;
    this.#definition = definition;
  }

  async check({ inputs: given, oldInputs = {}, naming }: CheckRequest): Promise<CheckResult> {
    const { schema } = this;
    const named = autonamed(schema, plainProperties(given), plainProperties(oldInputs), naming);
    const { inputs, filled } = withDefaults(schema, named.inputs);
    const failures = [...named.failures, ...failuresOf(schema, inputs)];
    if (failures.length === 0 && !hasUnknown(inputs)) failures.push(...(this.#definition.validate?.(inputs) ?? []));
    const checked = { ...markSecrets(inputs, given), __defaults: [...named.filled, ...filled].sort() };
    return Promise.resolve({ inputs: checked, failures });
  }

  diff(request: DiffRequest, session?: Session): DiffResult {
    const { schema, deleteBeforeReplace = false, plan } = this.#definition;
    const inputs = plainProperties(request.inputs);
    const planned = session === undefined ? {} : (plan?.(inputs, session) ?? {});
    return diffInputs({ schema, planned, deleteBeforeReplace }, request);
  }

  preview(inputs: Properties, session: Session, state?: Properties): Properties {
    const { computed, toldOnce = [], plan } = this.#definition;
    const wanted = normalized(this.schema, withDefaults(this.schema, plainProperties(inputs)).inputs);
    const chosen = Object.keys(this.schema).filter((key) => this.schema[key]?.computed && !(key in wanted));
    const open = [...computed, ...toldOnce, ...chosen].map((key) => [key, state?.[key] ?? unknown]);
    const planned = plan?.(wanted, session) ?? {};
    return this.#marked({ ...(Object.fromEntries(open) as Properties), ...wanted, ...planned }, inputs);
  }

  async create(inputs: Properties, session: Session): Promise<Live> {
    const wanted = withDefaults(this.schema, plainProperties(inputs)).inputs;
    const { id, told = {} } = await this.#definition.create(wanted, session).catch((error: unknown) => {
      throw error instanceof InitFailedError ? this.#unfinished(error, inputs) : error;
    });
    const state = { ...normalized(this.schema, wanted), ...told };
    try {
      const live = await this.#observe(id, state, inputs, session);
      if (live === undefined) throw new Error(`${id} was created, but is not there`);
      return live;
    } catch (error) {
      throw new InitFailedError({ id, inputs, outputs: this.#marked(state, inputs) }, error);
    }
  }

  #unfinished({ live, cause }: InitFailedError, inputs: Properties): InitFailedError {
    const state = { ...normalized(this.schema, plainProperties(inputs)), ...live.outputs };
    return new InitFailedError({ id: live.id, inputs, outputs: this.#marked(state, inputs) }, cause);
  }

  async read(id: string, session: Session, known?: Known): Promise<Live | undefined> {
    if (known === undefined) return this.#import(id, session);
    const live = await this.#observe(id, plainProperties(known.outputs), known.inputs, session);
    return live && { ...live, inputs: this.#refreshed(known.inputs, live.outputs) };
  }

  async #import(id: string, session: Session): Promise<Live | undefined> {
    const live = await this.#observe(id, {}, {}, session);
    if (live === undefined) return undefined;
    const given = Object.entries(this.schema).flatMap(([key, spec]) => {
      const value = live.outputs[key];
      return isEmpty(value) || meansTheSame(spec, spec.default, plain(value)) ? [] : [[key, value] as const];
    });
    const { inputs, filled } = withDefaults(this.schema, Object.fromEntries(given));
    return { ...live, inputs: { ...inputs, __defaults: filled.sort() } };
  }

  /** The old inputs, but for those that the resource no longer agrees with. */
  #refreshed(old: Properties, outputs: Properties): Properties {
    const drifted = Object.keys(old).filter((key) => {
      const spec = this.schema[key];
      const [before, now] = [plain(old[key]), plain(outputs[key])];
      return spec !== undefined && !meansTheSame(spec, now, before) && !(isEmpty(before) && isEmpty(now));
    });
    const now = drifted.flatMap((key) => (isEmpty(outputs[key]) ? [] : [[key, outputs[key]] as const]));
    const kept = Object.entries(old).filter(([key]) => !drifted.includes(key));
    const filled = old["__defaults"];
    const defaults = Array.isArray(filled)
      ? { __defaults: (filled as string[]).filter((key) => !drifted.includes(key)) }
      : {};
    return { ...Object.fromEntries([...kept, ...now]), ...defaults };
  }

  async update(id: string, state: Properties, inputs: Properties, session: Session): Promise<Live> {
    const { schema } = this;
    const old = plainProperties(state);
    const wanted = withDefaults(schema, plainProperties(inputs)).inputs;
    const changes = (key: string): boolean => {
      const spec = schema[key];
      return spec !== undefined && !isUnchanged(spec, old[key], wanted[key]);
    };
    const kept = this.#keptIn(old);
    let now = id;
    try {
      now = (await this.#definition.update?.({ id, state: old, inputs: wanted, changes }, session)) ?? id;
      const live = await this.#observe(now, { ...kept, ...normalized(schema, wanted) }, inputs, session);
      if (live === undefined) throw new Error(`${now} was updated, but is not there`);
      return live;
    } catch (error) {
      const left = await this.#observe(now, old, inputs, session).catch(() => undefined);
      throw new InitFailedError({ id: now, inputs, outputs: left?.outputs ?? state }, error);
    }
  }

  #keptIn(state: Properties): Properties {
    const keys = this.#definition.toldOnce ?? [];
    return Object.fromEntries(Object.entries(state).filter(([key]) => keys.includes(key)));
  }

  async delete(id: string, state: Properties, session: Session): Promise<void> {
    await this.#definition.remove(id, plainProperties(state), session);
  }

  /** What is there, in the spelling of the state where both mean the same. */
  async #observe(id: string, state: Properties, marked: Properties, session: Session): Promise<Live | undefined> {
    const { schema } = this;
    const observed = await this.#definition.read(id, state, session);
    if (observed === undefined) return undefined;
    const unseen = Object.entries(schema)
      .filter(([, spec]) => spec.stateOnly)
      .map(([key, spec]) => [key, state[key] ?? spec.default] as const);
    const seen = Object.entries(observed.properties).map(
      ([key, value]) => [key, spelled(schema[key], value, state[key])] as const,
    );
    const properties = { ...this.#keptIn(state), ...Object.fromEntries([...unseen, ...seen]) };
    return { id: observed.id, inputs: marked, outputs: this.#marked(plainProperties(properties), marked) };
  }

  #marked(properties: Properties, inputs: Properties): Properties {
    const hidden = this.#definition.secretOutputs ?? [];
    const outputs = Object.entries(markSecrets(properties, inputs)).map(
      ([key, value]) => [key, hidden.includes(key) && value !== unknown ? secret(value) : value] as const,
    );
    return Object.fromEntries(outputs);
  }
}

/** A value that AWS gives, in the state's spelling where it means the same. */
function spelled(spec: InputSpec | undefined, value: unknown, before: unknown): unknown {
  if (spec === undefined) return value;
  if (before !== undefined && meansTheSame(spec, value, before)) return before;
  return spec.normalize?.(value) ?? value;
}
