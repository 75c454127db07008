// The inputs of a resource after it was read: for an import, and for a refresh. Pure.
import { isEquivalent, withDefaults, type Schema } from "./schema.ts";
import { isEmpty, plain, type Properties } from "./values.ts";

/** The inputs that a program needs for an imported resource: every output that is neither empty nor the default. */
export function importedInputs(schema: Schema, outputs: Properties): Properties {
  const explicit = Object.entries(schema).flatMap(([key, spec]) => {
    const value = outputs[key];
    return isEmpty(value) || isEquivalent(spec, spec.default, plain(value)) ? [] : [[key, value] as const];
  });
  const { inputs, filled } = withDefaults(schema, Object.fromEntries(explicit));
  return { ...inputs, __defaults: filled.sort() };
}

/** The old inputs, with the values of the resource where those have drifted. A drifted default counts as given by the program. */
export function refreshedInputs(schema: Schema, old: Properties, outputs: Properties): Properties {
  const drifted = Object.keys(old).filter((key) => {
    const spec = schema[key];
    const [before, now] = [plain(old[key]), plain(outputs[key])];
    return spec !== undefined && !isEquivalent(spec, now, before) && !(isEmpty(before) && isEmpty(now));
  });
  const current = drifted.flatMap((key) => (isEmpty(outputs[key]) ? [] : [[key, outputs[key]] as const]));
  const unchanged = Object.entries(old).filter(([key]) => !drifted.includes(key));
  const filled = old["__defaults"];
  const defaults = Array.isArray(filled)
    ? { __defaults: (filled as string[]).filter((key) => !drifted.includes(key)) }
    : {};
  return { ...Object.fromEntries([...unchanged, ...current]), ...defaults };
}
