// Declares the inputs of a resource type: their types, their defaults, and what a change requires. The terms are those of Terraform's
// schema, from which the AWS provider is bridged.
import { canonical, hasUnknown, isObject, isSame, unknown, type Properties } from "./values.ts";

type Kind = "string" | "number" | "boolean" | "map" | "list" | "set" | "object" | "objects";

/** One input. */
export interface InputSpec {
  /** `map`, `list` and `set` hold strings, `objects` is a list of what `fields` describes. */
  readonly type: Kind;
  readonly fields?: Schema;
  readonly required?: true;
  /** The provider's default. */
  readonly default?: unknown;
  /** AWS chooses a value where the program sets none; a missing input then leaves the value as it is. */
  readonly computed?: true;
  /** A change requires a replacement. */
  readonly forceNew?: true;
  /** Where none is set, the name is generated from the resource's name; `maxLength` is in characters. */
  readonly autoname?: { readonly maxLength: number };
  /** AWS does not return it: the only known value is the one in the state. */
  readonly stateOnly?: true;
  readonly conflictsWith?: string;
  /** Converts a value that may have another form than `type`. */
  readonly transform?: (value: unknown) => unknown;
  /** Whether two different values are equivalent. */
  readonly equivalent?: (old: unknown, next: unknown) => boolean;
  /** Converts a value into its form in the state. */
  readonly normalize?: (value: unknown) => unknown;
  /** Why the value is invalid; undefined where it is valid. */
  readonly validate?: (value: never) => string | undefined;
  /** The original provider supports it and this stand-in does not: it is refused and not ignored silently. */
  readonly unsupported?: true;
}

/** The inputs of a type, or of an object in one, by their names. */
export type Schema = Readonly<Record<string, InputSpec>>;

/** Why an input is refused. `property` is a path such as `registry.server`. */
export interface CheckFailure {
  readonly property: string;
  readonly reason: string;
}

/** All failures in plain inputs. Unknown values count as valid. */
export function checkInputs(schema: Schema, inputs: Properties, path = ""): CheckFailure[] {
  const at = (key: string): string => (path === "" ? key : `${path}.${key}`);
  const unexpected = Object.keys(inputs)
    .filter((key) => !Object.hasOwn(schema, key) && !key.startsWith("__"))
    .map((key) => ({ property: at(key), reason: `Unsupported argument: an argument named "${key}" is not expected` }));
  const wrong = Object.entries(schema).flatMap(([key, spec]) => failuresOfInput(spec, at(key), inputs[key]));
  return [...unexpected, ...wrong, ...conflicts(schema, inputs, at)];
}

function failuresOfInput(spec: InputSpec, property: string, value: unknown): CheckFailure[] {
  const fail = (reason: string): CheckFailure[] => [{ property, reason }];
  if (value === undefined) {
    return spec.required ? fail(`Missing required argument: the argument "${property}" is required`) : [];
  }
  if (spec.unsupported) return fail(`this stand-in does not carry out ${property}; the original provider does`);
  if (value === unknown) return [];
  const mismatch = typeMismatch(spec, value);
  if (mismatch !== undefined) return fail(mismatch);
  const inner = failuresInside(spec, property, value);
  if (inner.length > 0 || hasUnknown(value)) return inner;
  const reason = spec.validate?.(value as never);
  return reason === undefined ? [] : fail(reason);
}

function failuresInside({ type, fields = {} }: InputSpec, property: string, value: unknown): CheckFailure[] {
  if (type === "object") return checkInputs(fields, value as Properties, property);
  if (type !== "objects") return [];
  return (value as unknown[]).flatMap((one, index) =>
    one === unknown ? [] : checkInputs(fields, one as Properties, `${property}[${String(index)}]`),
  );
}

const isText = (value: unknown): boolean => typeof value === "string";
const isListOf =
  (isElement: (value: unknown) => boolean) =>
  (value: unknown): boolean =>
    Array.isArray(value) && value.every(isElement);

const kinds: Readonly<Record<Kind, { readonly word: string; readonly is: (value: unknown) => boolean }>> = {
  string: { word: "string", is: isText },
  number: { word: "number", is: (value) => typeof value === "number" },
  boolean: { word: "boolean", is: (value) => typeof value === "boolean" },
  map: { word: "map of strings", is: (value) => isObject(value) && Object.values(value).every(isText) },
  list: { word: "list of strings", is: isListOf(isText) },
  set: { word: "set of strings", is: isListOf(isText) },
  object: { word: "object", is: isObject },
  objects: { word: "list of objects", is: isListOf((one) => one === unknown || isObject(one)) },
};

const typeMismatch = ({ type }: InputSpec, value: unknown): string | undefined =>
  kinds[type].is(value) ? undefined : expected(kinds[type].word, value);

/** Contains the type of the value and not the value, which may be a secret. */
const expected = (type: string, value: unknown): string =>
  `expected ${type} type, got ${Array.isArray(value) ? "list" : typeof value} type`;

function conflicts(schema: Schema, inputs: Properties, at: (key: string) => string): CheckFailure[] {
  return Object.entries(schema).flatMap(([key, { conflictsWith: other }]) =>
    other !== undefined && inputs[key] !== undefined && inputs[other] !== undefined
      ? [{ property: at(key), reason: `Conflicting configuration arguments: "${key}": conflicts with ${other}` }]
      : [],
  );
}

/** The inputs with the schema's fixed defaults, and the keys that were filled in. */
export function withDefaults(schema: Schema, inputs: Properties): { inputs: Properties; filled: string[] } {
  const missing = Object.entries(schema).filter(([key, spec]) => spec.default !== undefined && !(key in inputs));
  return {
    inputs: { ...inputs, ...Object.fromEntries(missing.map(([key, spec]) => [key, spec.default])) },
    filled: missing.map(([key]) => key),
  };
}

/** Whether a value of the state and one of the inputs are equivalent. An unknown input is not. */
export function isEquivalent(spec: InputSpec, old: unknown, next: unknown): boolean {
  if (hasUnknown(next)) return false;
  if (spec.type === "set" && Array.isArray(old) && Array.isArray(next)) {
    return canonical([...(old as string[])].sort()) === canonical([...(next as string[])].sort());
  }
  return isSame(old, next) || (old !== undefined && next !== undefined && (spec.equivalent?.(old, next) ?? false));
}

/** The inputs as the state keeps them. */
export const normalized = (schema: Schema, inputs: Properties): Properties =>
  Object.fromEntries(
    Object.entries(inputs)
      .filter(([key]) => !key.startsWith("__"))
      .map(([key, value]) => [key, hasUnknown(value) ? value : (schema[key]?.normalize?.(value) ?? value)]),
  );
