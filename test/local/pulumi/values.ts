// Property values as the engine and its plugins exchange them: plain JSON, plus a sentinel for what a preview cannot
// know yet and a signature around secrets.
// https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/plugin/rpc.go
// https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go

export type Properties = Record<string, unknown>;

/** Stands for a value of any type that only the update itself will know (UnknownStringValue in rpc.go). */
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const signature = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";

interface Secret {
  readonly value: unknown;
}

/** Whether a value is an object, and neither a list nor null. */
export const isObject = (value: unknown): value is Properties =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether a value is marked as secret. */
export const isSecret = (value: unknown): value is Secret => isObject(value) && value[signature] === secretSignature;

/** Marks a value as secret; one that is marked already stays as it is. */
export const secret = (value: unknown): unknown =>
  isSecret(value) ? value : { [signature]: secretSignature, value: plain(value) };

/** The value without marks: whatever is secret in it is in clear. */
export function plain(value: unknown): unknown {
  if (isSecret(value)) return plain(value.value);
  if (Array.isArray(value)) return value.map(plain);
  return isObject(value) ? plainProperties(value) : value;
}

/** The properties without marks, and without those that are null: to the engine, null is absent. */
export const plainProperties = (properties: Properties): Properties =>
  Object.fromEntries(
    Object.entries(properties).flatMap(([key, value]) => {
      const inner = plain(value);
      return inner === null || inner === undefined ? [] : [[key, inner]];
    }),
  );

/** Whether the value is unknown, or holds something that is. */
export function hasUnknown(value: unknown): boolean {
  if (value === unknown) return true;
  if (Array.isArray(value)) return value.some(hasUnknown);
  return isObject(value) && Object.values(value).some(hasUnknown);
}

/** Whether the value is marked as secret, or holds something that is. */
export function hasSecret(value: unknown): boolean {
  if (isSecret(value)) return true;
  if (Array.isArray(value)) return value.some(hasSecret);
  return isObject(value) && Object.values(value).some(hasSecret);
}

/** Every text that is secret in a value. */
export function secretsIn(value: unknown): string[] {
  if (isSecret(value)) return textsIn(plain(value.value));
  if (Array.isArray(value)) return value.flatMap(secretsIn);
  return isObject(value) ? Object.values(value).flatMap(secretsIn) : [];
}

function textsIn(value: unknown): string[] {
  if (typeof value === "string") return value === "" ? [] : [value];
  if (Array.isArray(value)) return value.flatMap(textsIn);
  return isObject(value) ? Object.values(value).flatMap(textsIn) : [];
}

/**
 * Marks in `properties` what `marked` has marked in the same place, as the engine does for plugins that take no secrets
 * (annotateSecrets in sdk/go/common/resource/plugin/provider_plugin.go).
 */
export const markSecrets = (properties: Properties, marked: Properties): Properties =>
  Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, markAs(value, marked[key])]));

function markAs(value: unknown, marked: unknown): unknown {
  if (isSecret(value) || !hasSecret(marked)) return value;
  if (!isSecret(marked) && isObject(value) && isObject(marked)) return markSecrets(value, marked);
  return secret(value);
}

/** Whether two plain values are the same; the order of keys does not count. */
export const isSame = (one: unknown, other: unknown): boolean => canonical(one) === canonical(other);

/** JSON with sorted keys and without spaces: one text for all spellings of a value. */
export const canonical = (value: unknown): string => JSON.stringify(sorted(value));

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)]));
}

/** What Terraform holds for the same as nothing: "", false, 0 and whatever is empty. */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false || value === 0) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}
