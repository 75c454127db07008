// What a change of inputs means for a resource that exists, as the terraform bridge answers Diff.
import { isEquivalent, withDefaults, type InputSpec, type Schema } from "./schema.ts";
import { isEmpty, isObject, isSame, plainProperties, type Properties } from "./values.ts";

/** The kinds of PropertyDiff in provider.proto. */
export type DiffKind = "ADD" | "ADD_REPLACE" | "DELETE" | "DELETE_REPLACE" | "UPDATE" | "UPDATE_REPLACE";

/** What the engine is told of a change. */
export interface DiffResult {
  readonly changes: boolean;
  /** By property path, such as `tags.team` or `imageScanningConfiguration.scanOnPush`. */
  readonly detailed: Readonly<Record<string, DiffKind>>;
  /** Inputs whose change takes another resource. */
  readonly replaces: readonly string[];
  readonly deleteBeforeReplace: boolean;
}

/** What the engine wants to have compared. */
export interface DiffRequest {
  /** The outputs that the engine remembers. */
  readonly state: Properties;
  /** This run's inputs as check gave them. */
  readonly inputs: Properties;
  /** Property paths. */
  readonly ignoreChanges?: readonly string[];
}

/** How a type's inputs are compared. */
export interface DiffRules {
  readonly schema: Schema;
  /** Outputs that follow from the inputs, such as `tagsAll`. */
  readonly planned: Properties;
  readonly deleteBeforeReplace: boolean;
}

/**
 * Compares the state, not the old inputs, with the new inputs: what somebody changed in AWS and a refresh found is mended
 * (provider.Diff in pulumi-terraform-bridge pkg/tfbridge/provider.go).
 */
export function diffInputs(rules: DiffRules, request: DiffRequest): DiffResult {
  const state = plainProperties(request.state);
  const given = withDefaults(rules.schema, plainProperties(request.inputs)).inputs;
  const inputs = { ...plannedInputs(rules), ...given };
  const isIgnored = ignoring(request.ignoreChanges ?? []);
  const changed = Object.entries(rules.schema).flatMap(([key, spec]) =>
    Object.entries(changesOf(spec, key, state[key], inputs[key]))
      .filter(([path]) => !isIgnored(path))
      .map(([path, kind]) => ({ key, path, kind, replaces: spec.forceNew === true })),
  );
  const following = Object.entries(rules.planned)
    .filter(([key, value]) => !Object.hasOwn(rules.schema, key) && !isIgnored(key) && !isSame(state[key] ?? {}, value))
    .map(([key]) => [key, "UPDATE"] as const);
  const replaces = [...new Set(changed.filter((one) => one.replaces).map(({ key }) => key))];
  const details = changed.map((one) => [one.path, one.replaces ? (`${one.kind}_REPLACE` as const) : one.kind] as const);
  return {
    changes: details.length + following.length > 0,
    detailed: Object.fromEntries([...details, ...following]),
    replaces,
    deleteBeforeReplace: replaces.length > 0 && (rules.deleteBeforeReplace || isNamedByUser(rules.schema, inputs)),
  };
}

const plannedInputs = ({ planned, schema }: DiffRules): Properties =>
  Object.fromEntries(Object.entries(planned).filter(([key]) => Object.hasOwn(schema, key)));

/**
 * A name that the program gives is taken by the old resource until that is deleted; one that was made up is not
 * (nameRequiresDeleteBeforeReplace in pulumi-terraform-bridge pkg/tfbridge/schema.go).
 */
function isNamedByUser(schema: Schema, inputs: Properties): boolean {
  const filled = inputs["__defaults"];
  if (!Array.isArray(filled)) return false;
  return Object.entries(schema).some(([key, spec]) => spec.autoname && key in inputs && !filled.includes(key));
}

type Kind = "ADD" | "DELETE" | "UPDATE";

function changesOf(spec: InputSpec, key: string, old: unknown, next: unknown): Record<string, Kind> {
  if (isUnchanged(spec, old, next)) return {};
  if (["map", "object"].includes(spec.type) && isObject(old) && isObject(next)) {
    return changesInside(spec, key, old, next);
  }
  if (isAbsent(old)) return { [key]: "ADD" };
  return { [key]: isAbsent(next) ? "DELETE" : "UPDATE" };
}

/** Nothing, or what a text or a collection has instead of it; false and 0 are values. */
const isAbsent = (value: unknown): boolean => isEmpty(value) && value !== false && value !== 0;

/** Whether an input asks for nothing else than what is there. */
export function isUnchanged(spec: InputSpec, old: unknown, next: unknown): boolean {
  const isLeftToAws = next === undefined && (spec.computed ?? spec.autoname !== undefined);
  return isLeftToAws || isEquivalent(spec, old, next) || (isEmpty(old) && isEmpty(next));
}

function changesInside({ fields }: InputSpec, path: string, old: Properties, next: Properties): Record<string, Kind> {
  const keys = [...new Set([...Object.keys(old), ...Object.keys(next)])].sort();
  // A tag may be called as what every object has, such as `constructor`.
  const valueIn = (object: Properties, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined);
  const changes = keys.map((key) => {
    const spec = (fields && valueIn(fields, key)) ?? { type: "string" };
    return changesOf(spec as InputSpec, `${path}${step(key)}`, valueIn(old, key), valueIn(next, key));
  });
  return Object.assign({}, ...changes) as Record<string, Kind>;
}

/** A key in a property path: quoted where it is no plain name (sdk/go/common/resource/property_path.go). */
const step = (key: string): string => (/^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);

/** Whether a path is one of those, or below one. */
const ignoring =
  (paths: readonly string[]): ((path: string) => boolean) =>
  (path) =>
    paths.some((one) => one === path || path.startsWith(`${one}.`) || path.startsWith(`${one}[`));
