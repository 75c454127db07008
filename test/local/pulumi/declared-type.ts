// Builds a resource type from its schema and its create, read, update and delete operations. Check, diff, preview, import and
// refresh are the same for all types.
import { withAutonames } from "./autoname.ts";
import { diffInputs, isUnchanged, type DiffRequest, type DiffResult } from "./diff.ts";
import { importedInputs, refreshedInputs } from "./read-inputs.ts";
import {
  InitFailedError,
  type CheckRequest,
  type CheckResult,
  type Definition,
  type RememberedResource,
  type LiveResource,
  type ResourceType,
} from "./resource-type.ts";
import {
  checkInputs,
  isEquivalent,
  normalized,
  withDefaults,
  type CheckFailure,
  type InputSpec,
  type Schema,
} from "./schema.ts";
import { hasSecret, hasUnknown, markSecrets, plainProperties, secret, unknown, type Properties } from "./values.ts";

/** Builds a resource type from its definition. */
export const resourceType = <Session>(definition: Definition<Session>): ResourceType<Session> =>
  new DeclaredType(definition);

class DeclaredType<Session> implements ResourceType<Session> {
  readonly schema: Schema;
  readonly #definition: Definition<Session>;

  constructor(definition: Definition<Session>) {
    this.schema = definition.schema;
    this.#definition = definition;
  }

  async check({ inputs: news, oldInputs = {}, naming }: CheckRequest): Promise<CheckResult> {
    const { schema } = this;
    const named = withAutonames(schema, transformed(schema, news), plainProperties(oldInputs), naming);
    const { inputs, filled } = withDefaults(schema, named.inputs);
    const failures = [...named.failures, ...checkInputs(schema, inputs)];
    const checked = { ...markSecrets(inputs, news), __defaults: [...named.filled, ...filled].sort() };
    return Promise.resolve({ inputs: checked, failures: failures.map((one) => withoutSecret(one, news)) });
  }

  diff(request: DiffRequest, session?: Session): DiffResult {
    const { schema, deleteBeforeReplace = false, plan } = this.#definition;
    const inputs = plainProperties(request.inputs);
    const planned = session === undefined ? {} : (plan?.(inputs, session) ?? {});
    return diffInputs({ schema, planned, deleteBeforeReplace }, request);
  }

  preview(inputs: Properties, session: Session, state?: Properties): Properties {
    const { computed, onlyAtCreation = [], plan } = this.#definition;
    const wanted = normalized(this.schema, withDefaults(this.schema, plainProperties(inputs)).inputs);
    const chosen = Object.keys(this.schema).filter((key) => this.schema[key]?.computed && !(key in wanted));
    const unresolved = [...computed, ...onlyAtCreation, ...chosen].map((key) => [key, state?.[key] ?? unknown]);
    const planned = plan?.(wanted, session) ?? {};
    return this.#withSecrets({ ...(Object.fromEntries(unresolved) as Properties), ...wanted, ...planned }, inputs);
  }

  async create(inputs: Properties, session: Session): Promise<LiveResource> {
    const wanted = withDefaults(this.schema, plainProperties(inputs)).inputs;
    const { id, creationOutputs = {} } = await this.#definition.create(wanted, session).catch((error: unknown) => {
      throw error instanceof InitFailedError ? this.#incomplete(error, inputs) : error;
    });
    const state = { ...normalized(this.schema, wanted), ...creationOutputs };
    try {
      const live = await this.#observe(id, state, inputs, session);
      if (live === undefined) throw new Error(`${id} was created, but is not there`);
      return live;
    } catch (error) {
      throw new InitFailedError({ id, inputs, outputs: this.#withSecrets(state, inputs) }, error);
    }
  }

  #incomplete({ live, cause }: InitFailedError, inputs: Properties): InitFailedError {
    const state = { ...normalized(this.schema, plainProperties(inputs)), ...live.outputs };
    return new InitFailedError({ id: live.id, inputs, outputs: this.#withSecrets(state, inputs) }, cause);
  }

  async read(id: string, session: Session, known?: RememberedResource): Promise<LiveResource | undefined> {
    if (known === undefined) return this.#import(id, session);
    const live = await this.#observe(id, plainProperties(known.outputs), known.inputs, session);
    return live && { ...live, inputs: refreshedInputs(this.schema, known.inputs, live.outputs) };
  }

  async #import(id: string, session: Session): Promise<LiveResource | undefined> {
    const live = await this.#observe(id, {}, {}, session);
    if (live === undefined) return undefined;
    return { ...live, inputs: importedInputs(this.schema, live.outputs) };
  }

  async update(id: string, state: Properties, inputs: Properties, session: Session): Promise<LiveResource> {
    const { schema } = this;
    const old = plainProperties(state);
    const wanted = withDefaults(schema, plainProperties(inputs)).inputs;
    const changes = (key: string): boolean => {
      const spec = schema[key];
      return spec !== undefined && !isUnchanged(spec, old[key], wanted[key]);
    };
    const kept = this.#keptOutputs(old);
    let now = id;
    try {
      now = (await this.#definition.update?.({ id, state: old, inputs: wanted, changes }, session)) ?? id;
      const live = await this.#observe(now, { ...kept, ...normalized(schema, wanted) }, inputs, session);
      if (live === undefined) throw new Error(`${now} was updated, but is not there`);
      return live;
    } catch (error) {
      const current = await this.#observe(now, old, inputs, session).catch(() => undefined);
      throw new InitFailedError({ id: now, inputs, outputs: current?.outputs ?? state }, error);
    }
  }

  #keptOutputs(state: Properties): Properties {
    const keys = this.#definition.onlyAtCreation ?? [];
    return Object.fromEntries(Object.entries(state).filter(([key]) => keys.includes(key)));
  }

  async delete(id: string, state: Properties, session: Session): Promise<void> {
    await this.#definition.remove(id, plainProperties(state), session);
  }

  /** Reads the resource; a value that is equivalent to the one in the state keeps the state's spelling. Undefined where it is gone. */
  async #observe(
    id: string,
    state: Properties,
    marked: Properties,
    session: Session,
  ): Promise<LiveResource | undefined> {
    const { schema } = this;
    const observed = await this.#definition.read(id, state, session);
    if (observed === undefined) return undefined;
    const notReturned = Object.entries(schema)
      .filter(([, spec]) => spec.stateOnly)
      .map(([key, spec]) => [key, state[key] ?? spec.default] as const);
    const returned = Object.entries(observed.properties).map(
      ([key, value]) => [key, spelled(schema[key], value, state[key])] as const,
    );
    const properties = { ...this.#keptOutputs(state), ...Object.fromEntries([...notReturned, ...returned]) };
    return { id: observed.id, inputs: marked, outputs: this.#withSecrets(plainProperties(properties), marked) };
  }

  #withSecrets(properties: Properties, inputs: Properties): Properties {
    const secretKeys = this.#definition.secretOutputs ?? [];
    const outputs = Object.entries(markSecrets(properties, inputs)).map(
      ([key, value]) => [key, secretKeys.includes(key) ? secret(value) : value] as const,
    );
    return Object.fromEntries(outputs);
  }
}

/** The value that AWS returned, in the state's spelling where both are equivalent. */
function spelled(spec: InputSpec | undefined, value: unknown, before: unknown): unknown {
  if (spec === undefined) return value;
  if (before !== undefined && isEquivalent(spec, value, before)) return before;
  return spec.normalize?.(value) ?? value;
}

/** Plain inputs, in which values that may be given as objects, such as policy documents, are text. */
const transformed = (schema: Schema, news: Properties): Properties =>
  Object.fromEntries(
    Object.entries(plainProperties(news)).map(([key, value]) => {
      const transform = Object.hasOwn(schema, key) ? schema[key]?.transform : undefined;
      if (transform === undefined || value === unknown) return [key, value];
      return [key, hasUnknown(value) ? unknown : transform(value)];
    }),
  );

/** Removes the reason from a failure about a secret input, because the reason may quote the value. */
function withoutSecret(failure: CheckFailure, news: Properties): CheckFailure {
  const [key = ""] = failure.property.split(/[.[]/);
  return hasSecret(news[key]) ? { ...failure, reason: "is not valid; why is not said, as it is a secret" } : failure;
}
