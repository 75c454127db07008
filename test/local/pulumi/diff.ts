// The difference between an existing resource and new inputs, as the terraform bridge computes it.
import { isEquivalent, withDefaults, type InputSpec, type Schema } from "./schema.ts";
import { isEmpty, isObject, isSame, plainProperties, type Properties } from "./values.ts";

/** The kinds of PropertyDiff in provider.proto. */
export type DiffKind = "ADD" | "ADD_REPLACE" | "DELETE" | "DELETE_REPLACE" | "UPDATE" | "UPDATE_REPLACE";

/** The result of a diff. */
export interface DiffResult {
  readonly changes: boolean;
  /** By property path, such as `tags.team` or `imageScanningConfiguration.scanOnPush`. */
  readonly detailed: Readonly<Record<string, DiffKind>>;
  /** Inputs whose change requires a replacement. */
  readonly replaces: readonly string[];
  readonly deleteBeforeReplace: boolean;
}

/** What the engine asks to compare. */
export interface DiffRequest {
  /** The outputs in the engine's state. */
  readonly state: Properties;
  /** The inputs of this run, as check returned them. */
  readonly inputs: Properties;
  /** Property paths. */
  readonly ignoreChanges?: readonly string[];
}

/** The rules of a type for comparing its inputs. */
export interface DiffRules {
  readonly schema: Schema;
  /** Outputs that follow from the inputs, such as `tagsAll`. */
  readonly planned: Properties;
  readonly deleteBeforeReplace: boolean;
}

/**
 * Compares the new inputs with the state and not with the old inputs, so that drift which a refresh found is repaired
 * (provider.Diff in pulumi-terraform-bridge pkg/tfbridge/provider.go).
 */
export function diffInputs(rules: DiffRules, request: DiffRequest): DiffResult {
  const state = plainProperties(request.state);
  const explicit = withDefaults(rules.schema, plainProperties(request.inputs)).inputs;
  const inputs = { ...plannedInputs(rules), ...explicit };
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
 * A name that the program sets is in use until the old resource is deleted; a generated name is not
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

/** Whether a value is missing, or an empty text or collection. false and 0 are values. */
const isAbsent = (value: unknown): boolean => isEmpty(value) && value !== false && value !== 0;

/** Whether an input leaves the state as it is. */
export function isUnchanged(spec: InputSpec, old: unknown, next: unknown): boolean {
  const isLeftToAws = next === undefined && (spec.computed ?? spec.autoname !== undefined);
  return isLeftToAws || isEquivalent(spec, old, next) || (isEmpty(old) && isEmpty(next));
}

function changesInside({ fields }: InputSpec, path: string, old: Properties, next: Properties): Record<string, Kind> {
  const keys = [...new Set([...Object.keys(old), ...Object.keys(next)])].sort();
  // A tag may have the name of an inherited property, such as `constructor`.
  const valueIn = (object: Properties, key: string): unknown => (Object.hasOwn(object, key) ? object[key] : undefined);
  const changes = keys.map((key) => {
    const spec = (fields && valueIn(fields, key)) ?? { type: "string" };
    return changesOf(spec as InputSpec, `${path}${step(key)}`, valueIn(old, key), valueIn(next, key));
  });
  return Object.assign({}, ...changes) as Record<string, Kind>;
}

/** A key in a property path, quoted unless it is an identifier (sdk/go/common/resource/property_path.go). */
const step = (key: string): string => (/^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);

/** A test of whether a path is one of `paths`, or below one. */
const ignoring =
  (paths: readonly string[]): ((path: string) => boolean) =>
  (path) =>
    paths.some((one) => one === path || path.startsWith(`${one}.`) || path.startsWith(`${one}[`));
